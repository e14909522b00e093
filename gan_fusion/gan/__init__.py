"""The conditional GAN: its settings, networks, losses, training, scores, and images drawn with it.

`layers`, `networks` and `losses` are Keras alone; a training step is taken by `step`, of which
`step_tensorflow` and `step_jax` are the only parts that know a backend. `draws` says what a step
sees, `loop` repeats it, `evaluation` measures the images, `train` is the command's flow. `folder`
is what a folder of generated images holds, `generate` fills one, `report` writes the run's page.

Inside the networks an image is float, RGB, in [-1, 1]; `as_pixels` makes the generator that users
get, which answers in [0, 255].
"""

from __future__ import annotations

from common.papers import lazily
from gan_fusion.gan.config import GAN_ROWS, PRESETS, GanConfig, check_size, leaks

__all__ = [
    "ENTRY", "GAN_ROWS", "PRESETS", "Gan", "GanConfig", "Modulation", "PixelNorm", "ScaledConv",
    "ScaledDense", "as_pixels", "build_critic", "build_generator", "channels", "check_size",
    "critic_loss", "generator_loss", "leaks", "upsampling_kernel",
]  # fmt: skip

# What needs Keras: seconds to import, which `--help` must not take.
__getattr__ = lazily(
    __name__,
    Modulation="layers", PixelNorm="layers", ScaledConv="layers", ScaledDense="layers",
    upsampling_kernel="layers",
    ENTRY="networks", as_pixels="networks", build_critic="networks", build_generator="networks",
    channels="networks",
    critic_loss="losses", generator_loss="losses",
    Gan="step",
)  # fmt: skip
