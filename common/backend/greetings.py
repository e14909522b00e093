"""What TensorFlow's C++ code says at every start, and nobody can do anything about.

Run as a program by `backend.without_greetings`, it passes on what it reads, but for that: a process
of its own, so that what is said just before an abort is passed on, too. It imports nothing of this
project, and starts in hundredths of a second.
"""

from __future__ import annotations

import os
import re

# TensorFlow prints most of it before it reads TF_CPP_MIN_LOG_LEVEL.
GREETINGS = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|oneDNN custom operations are on"
    rb"|Could not find cuda drivers on your machine"
    rb"|This TensorFlow binary is optimized to use available CPU instructions"
    rb"|^To enable the following instructions: .* rebuild TensorFlow"
    rb"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|NO_DEVICE|no CUDA-capable device)"
    rb"|cuda_diagnostics\.cc:\d+\]"
    rb"|Unable to register cu(FFT|DNN|BLAS) factory: .* already been registered"
    rb"|computation placer already registered"
    rb"|Could not find TensorRT"
    rb"|Memory patch applied: M_TRIM_THRESHOLD"
    # Of a conversion to TFLite and of its interpreter.
    rb"|tf_tfl_flatbuffer_helpers\.cc:\d+\] Ignored (output_format|drop_control_dependency)"
    rb"|Created TensorFlow Lite XNNPACK delegate"
    rb"|^fully_quantize: \d+, inference_type: "
)


def pass_on(reading: int, target: int) -> None:
    """Copy lines until nobody writes any more, but for greetings.

    Parameters
    ----------
    reading, target : int
        File descriptors.
    """
    rest = b""
    while data := os.read(reading, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not GREETINGS.search(line):
                os.write(target, line + b"\n")
    if rest and not GREETINGS.search(rest):
        os.write(target, rest)


if __name__ == "__main__":
    pass_on(0, 1)
