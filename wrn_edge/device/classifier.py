"""The bundle's model: a runtime is found, pictures are classified."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from types import ModuleType
from typing import Any

import numpy as np
import sealed
from errors import InputError, quiet
from sealed import Bundle

# LiteRT first; tflite-runtime is the only one for 32-bit systems; TensorFlow takes 600 MB.
RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
KERNELS = ("default", "builtin", "reference")


def find_runtime(name: str | None = None) -> tuple[str, ModuleType]:
    """Import the first runtime that is installed, or the one named.

    Parameters
    ----------
    name : str, optional
        A key of `RUNTIMES`.

    Returns
    -------
    name : str
    module : module
        With the class `Interpreter`.

    Raises
    ------
    InputError
        If none can be imported; says what to install on this machine.
    """
    failed = []
    for package in [name] if name else RUNTIMES:
        try:
            with quiet():
                return package, importlib.import_module(RUNTIMES[package])
        except ModuleNotFoundError as error:
            # A module that the runtime itself lacks is news, the runtime's own absence is not.
            if error.name != RUNTIMES[package].split(".")[0]:
                failed.append(f"{package}: {error}")
        except (ImportError, OSError, AttributeError) as error:
            failed.append(f"{package}: {error}")
    narrow = sys.maxsize < 2**32 or platform.machine() in ("armv6l", "armv7l")
    needs = "requirements-32bit.txt" if narrow else "requirements-64bit.txt"
    reasons = "".join(f"\n  {reason}" for reason in failed)
    raise InputError(
        f"no runtime for the model here: python3 -m pip install -r {sealed.FOLDER / needs}{reasons}"
    )


def runtime_version(name: str) -> str:
    """Installed version of a runtime.

    Parameters
    ----------
    name : str
        A key of `RUNTIMES`.
    """
    import importlib.metadata  # costs 30 ms, and classifying needs it not

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


class Classifier:
    """A loaded model.

    Parameters
    ----------
    bundle : Bundle
    threads : int, optional
        By default one per core, four at most.
    runtime : str, optional
        A key of `RUNTIMES`; by default the first that is installed.
    kernels : {"default", "builtin", "reference"}
        Which implementations compute: the runtime's own choice (XNNPACK where it has it), its
        built-in ones, or its slow reference ones.

    Raises
    ------
    InputError
        If there is no runtime, it cannot read the model, or the model is not the one described.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        runtime: str | None = None,
        kernels: str = "default",
    ):
        self.bundle = bundle
        self.runtime, module = find_runtime(runtime)
        self.threads = threads or min(4, os.cpu_count() or 1)
        resolver = module.OpResolverType
        types = {
            "default": resolver.AUTO,
            "builtin": resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": resolver.BUILTIN_REF,
        }
        try:
            with quiet():
                self._interpreter = module.Interpreter(
                    model_path=str(bundle.model),
                    num_threads=self.threads,
                    experimental_op_resolver_type=types[kernels],
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{bundle.model}: {self.runtime} cannot read this model ({error}); "
                "copy the whole bundle again, or install the runtime that its manifest names"
            ) from None
        self._input = self._check_input()
        self._probabilities, self._features = self._check_outputs()
        self.family = self._family(kernels)

    def _check_input(self) -> dict[str, Any]:
        inputs = self._interpreter.get_input_details()
        size = self.bundle.image_size
        wanted = f"one input (1, {size}, {size}, 3), uint8 pixels as they are or float32"
        detail = inputs[0]
        # (0.0, 0) is no quantisation at all.
        plain = detail["quantization"] in ((0.0, 0), (1.0, 0))
        plain &= detail["dtype"] in (np.uint8, np.float32)
        if len(inputs) != 1 or tuple(detail["shape"]) != (1, size, size, 3) or not plain:
            found = ", ".join(
                f"{tuple(map(int, each['shape']))} {np.dtype(each['dtype']).name} "
                f"scale and zero point {each['quantization']}"
                for each in inputs
            )
            raise InputError(f"{self.bundle.model}: takes {found}; this bundle needs {wanted}")
        return detail

    def _check_outputs(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Details of the probabilities (1, K) and of the feature maps (1, h, w, C), if any."""
        count = len(self.bundle.classes)
        outputs = {len(each["shape"]): each for each in self._interpreter.get_output_details()}
        probabilities = outputs.get(2)
        if probabilities is None or tuple(probabilities["shape"]) != (1, count):
            shapes = [tuple(map(int, each["shape"])) for each in outputs.values()]
            raise InputError(
                f"{self.bundle.model}: gives {shapes}, not probabilities of {count} classes"
            )
        return probabilities, outputs.get(4)

    def _family(self, kernels: str) -> str:
        """Whose kernels compute the convolutions; those of one family give the same bits.

        tflite-runtime gives XNNPACK the softmax alone: that there is a delegate says nothing. The
        built-in kernels of 32-bit ARM round differently from those of 64-bit processors.
        """
        builtin = "builtin" if sys.maxsize > 2**32 else "builtin-32bit"
        if kernels != "default":
            return builtin if kernels == "builtin" else kernels
        operators = self._interpreter._get_ops_details()
        delegates = [each for each in operators if each["op_name"] == "DELEGATE"]
        taken = {tensor for each in delegates for tensor in each["inputs"]}
        weights = {each["inputs"][1] for each in operators if each["op_name"] == "CONV_2D"}
        return "xnnpack" if taken & weights else builtin

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Class probabilities of one picture.

        Parameters
        ----------
        pixels : ndarray
            RGB, shape (S, S, 3), uint8.

        Returns
        -------
        ndarray
            Shape (K,), float32.

        Raises
        ------
        InputError
            If the runtime cannot run the model.
        """
        pixels = np.ascontiguousarray(pixels[None], dtype=self._input["dtype"])
        try:
            self._interpreter.set_tensor(self._input["index"], pixels)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.bundle.model}: {self.runtime} cannot run this model ({error}); "
                "copy the whole bundle again"
            ) from None
        return self._value(self._probabilities)[0]

    @property
    def gives_maps(self) -> bool:
        """Whether the model has its last feature maps as a second output."""
        return self._features is not None

    def activation_maps(self) -> np.ndarray:
        """Class activation maps of the last picture: feature maps times the last layer's weights.

        Returns
        -------
        ndarray
            Shape (h, w, K), float32. Their mean over the picture, plus the last layer's bias, are
            the logits.

        Raises
        ------
        InputError
            If the model gives none.
        """
        if self._features is None:
            raise InputError(f"{self.bundle.model}: gives no class activation maps")
        weights = np.load(self.bundle.folder / "class-weights.npy", allow_pickle=False)
        return self._value(self._features)[0] @ weights

    def _value(self, detail: dict[str, Any]) -> np.ndarray:
        value = self._interpreter.get_tensor(detail["index"]).astype(np.float32)
        scale, zero_point = detail["quantization"]
        return (value - np.float32(zero_point)) * np.float32(scale) if scale else value

    def decide(self, probabilities: np.ndarray) -> tuple[str, float]:
        """Label of a picture and that label's probability.

        With a positive class, that one from its threshold on, else the other; without, the
        likeliest.

        Parameters
        ----------
        probabilities : ndarray
            Shape (K,).
        """
        classes = self.bundle.classes
        positive = self.bundle.preprocessing["positive"]
        if positive is None:
            best = int(probabilities.argmax())
        else:
            best = classes.index(positive)
            if probabilities[best] < self.bundle.preprocessing["threshold"]:
                best = 1 - best
        return classes[best], float(probabilities[best])
