"""Time GAN training against the WGAN-GP pattern of the keras.io examples.

The pattern: a `keras.Model` whose `train_step` takes one gradient tape per critic step, calls the
critic apart on generated and on real images and a third time for the penalty, and is run by
`fit`. Both sides train the same networks with the same losses, optimizers and batches, in turns,
in one process. The pattern's generator repeats pixels and convolves with 3x3 kernels, as its
layers do; ours computes the same function by one transposed convolution.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from common import backend
from common.arguments import Parser
from common.errors import InputError, main
from gan_fusion.gan.config import PRESETS, GanConfig

CLASSES = 2
IMAGES = 128


def pattern(config: GanConfig, fused: bool):
    """The pattern's model, compiled, with weights like `gan.Gan`'s."""
    import tensorflow as tf

    from common.backend import keras
    from gan_fusion import gan

    class Pattern(keras.Model):
        def __init__(self, critic, generator):
            super().__init__()
            self.critic, self.generator = critic, generator

        def compile(self, critic_optimizer, generator_optimizer):
            super().compile()
            self.critic_optimizer = critic_optimizer
            self.generator_optimizer = generator_optimizer

        def penalty(self, real, fake, label):
            mix = tf.random.uniform([tf.shape(real)[0], 1, 1, 1])
            between = real + mix * (fake - real)
            with tf.GradientTape() as tape:
                tape.watch(between)
                score = self.critic([between, label], training=True)[0]
            slope = tape.gradient(score, [between])[0]
            norm = tf.sqrt(tf.reduce_sum(tf.square(slope), axis=[1, 2, 3]) + 1e-12)
            return tf.reduce_mean((norm - 1.0) ** 2)

        def train_step(self, data):
            real, label = data
            real = tf.cast(real, tf.float32) / 127.5 - 1
            count = tf.shape(real)[0]
            for _ in range(config.critic_steps):
                noise = tf.random.normal((count, config.latent))
                with tf.GradientTape() as tape:
                    fake = self.generator([noise, label], training=True)
                    fake_score = self.critic([fake, label], training=True)[0]
                    real_score = self.critic([real, label], training=True)[0]
                    cost = tf.reduce_mean(fake_score) - tf.reduce_mean(real_score)
                    loss = cost + config.penalty * self.penalty(real, fake, label)
                gradient = tape.gradient(loss, self.critic.trainable_variables)
                self.critic_optimizer.apply_gradients(
                    zip(gradient, self.critic.trainable_variables, strict=True)
                )
            noise = tf.random.normal((count, config.latent))
            with tf.GradientTape() as tape:
                fake = self.generator([noise, label], training=True)
                generator_loss = -tf.reduce_mean(self.critic([fake, label], training=True)[0])
            gradient = tape.gradient(generator_loss, self.generator.trainable_variables)
            self.generator_optimizer.apply_gradients(
                zip(gradient, self.generator.trainable_variables, strict=True)
            )
            return {"critic": loss, "generator": generator_loss}

    generator = gan.build_generator(config, CLASSES)
    if not fused:
        generator = keras.models.clone_model(generator, clone_function=repeated)
    model = Pattern(gan.build_critic(config, CLASSES), generator)
    betas = {"beta_1": config.beta_1, "beta_2": config.beta_2}
    model.compile(
        keras.optimizers.Adam(config.critic_learning_rate, **betas),
        keras.optimizers.Adam(config.learning_rate, **betas),
    )
    return model


def repeated(layer):
    """A copy of a layer; one that upsamples does so by repeating pixels, then convolving."""
    from common.backend import keras
    from gan_fusion.gan import ScaledConv

    class Repeated(ScaledConv):
        def build(self, shape):
            super().build(shape)
            self.repeat = keras.layers.UpSampling2D(interpolation="nearest")

        def call(self, inputs):
            fan_in = float(self.kernel.shape[0] * self.kernel.shape[1] * self.kernel.shape[2])
            kernel = self.kernel * (self.gain * fan_in**-0.5)
            return self.convolution_op(self.repeat(inputs), kernel) + self.bias

    if isinstance(layer, ScaledConv) and layer.upsample:
        return Repeated.from_config(layer.get_config())
    return type(layer).from_config(layer.get_config())


def compare(config: GanConfig, fused: bool, steps: int, rounds: int) -> tuple[float, float]:
    """Median seconds per iteration: ours and the pattern's."""
    import numpy as np

    from gan_fusion import gan
    from gan_fusion.gan.draws import Draws

    rng = np.random.default_rng(0)
    side = config.image_size
    pixels = rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    labels = np.arange(IMAGES) % CLASSES
    ours, draws = gan.Gan(config, CLASSES), Draws(pixels, labels, CLASSES, config)
    theirs = pattern(config, fused)
    count = steps * config.batch_size
    rows = np.arange(count) % IMAGES
    shown = pixels[rows], np.eye(CLASSES, dtype=np.float32)[labels[rows]]

    def our_round(first: int) -> float:
        start = time.perf_counter()
        for i in range(first, first + steps):
            losses = ours.step(draws.batch(i * config.critic_steps), i)
        float(losses["generator"])
        return (time.perf_counter() - start) / steps

    def their_round() -> float:
        start = time.perf_counter()
        theirs.fit(*shown, batch_size=config.batch_size, epochs=1, verbose=0)
        return (time.perf_counter() - start) / steps

    our_round(0), their_round()  # traced once
    pairs = [(our_round(i * steps), their_round()) for i in range(rounds)]
    return tuple(statistics.median(times) for times in zip(*pairs, strict=True))


def where_it_goes(config: GanConfig, steps: int) -> dict[str, float]:
    """Seconds of one iteration: critic (with the images it judges), penalty, generator."""
    import numpy as np

    from gan_fusion import gan
    from gan_fusion.gan.draws import Draws

    side = config.image_size
    pixels = np.zeros((config.batch_size, side, side, 3), np.uint8)
    config = replace(config, penalty_every=2)  # due at even iterations
    ours = gan.Gan(config, CLASSES)
    batch = Draws(pixels, np.arange(config.batch_size) % CLASSES, CLASSES, config).batch(0)

    def median(iteration: int, critic_only: bool) -> float:
        times = []
        for _ in range(1 + steps):  # traced at the first
            start = time.perf_counter()
            losses = ours.step(batch, iteration, critic_only=critic_only)
            float(losses["distance"])
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    whole, critic, unpenalised = median(0, False), median(0, True), median(1, True)
    return {
        "images and their scores": unpenalised,
        "penalty": critic - unpenalised,
        "generator's step": whole - critic,
    }


def feature_speed(rounds: int) -> float:
    """Time of `FeatureNetwork` over the time of the network's own `predict` on ready pixels."""
    import numpy as np

    from common.generative import FeatureNetwork

    network = FeatureNetwork("mobilenet_v2", 96, weights="none")
    pixels = np.random.default_rng(0).integers(0, 256, (256, 64, 64, 3), dtype=np.uint8)
    ready = np.zeros((256, 96, 96, 3), np.float32)

    def timed(function, *arguments, **options) -> float:
        start = time.perf_counter()
        function(*arguments, **options)
        return time.perf_counter() - start

    def both() -> tuple[float, float]:
        return timed(network, pixels), timed(network.model.predict, ready, batch_size=32, verbose=0)

    both()
    ours, theirs = zip(*(both() for _ in range(rounds)), strict=True)
    return statistics.median(ours) / statistics.median(theirs)


def run() -> int:
    parser = Parser(prog="python -m benchmarks.gan_step", description=__doc__)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--critic-steps", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="iterations per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if backend.load() != "tensorflow":
        raise InputError("the pattern is TensorFlow's: unset KERAS_BACKEND")
    config = replace(
        PRESETS["small"],
        image_size=options.image_size,
        batch_size=options.batch_size,
        critic_steps=options.critic_steps,
        critic_loss="wasserstein",
        generator_loss="wasserstein",
        penalty=10.0,
        penalty_every=1,
        gamma=0.0,
        drift=0.0,
        average=0.0,
    )
    print(
        f"{config.image_size} px, batch {config.batch_size}, {config.critic_steps} critic steps "
        f"per generator step, {options.rounds} rounds of {options.steps} iterations in turns"
    )
    missed = 0
    for name, fused, target in (
        ("against the pattern", False, 1.3),
        ("against the pattern with our generator's layers", True, 1.0),
    ):
        ours, theirs = compare(config, fused, options.steps, options.rounds)
        met = theirs / ours >= target
        missed += not met
        print(
            f"{'PASS' if met else 'MISS'}  iteration {name}: {theirs / ours:.2f} (target >= "
            f"{target}); ours {1e3 * ours:.0f} ms, theirs {1e3 * theirs:.0f} ms",
            flush=True,
        )
    parts = where_it_goes(config, options.steps)
    whole = sum(parts.values())
    print(
        "      of our iteration: "
        + ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in parts.items()),
        flush=True,
    )
    share = feature_speed(options.rounds)
    met = share <= 1.1
    missed += not met
    print(
        f"{'PASS' if met else 'MISS'}  features of 256 images against the network's own predict: "
        f"{share:.2f} times as long (target <= 1.1)"
    )
    return int(missed > 0)


if __name__ == "__main__":
    main(run)
