"""The engines' side of `benchmarks.int8`: run in their environments, which have nothing of ours.

    python int8_peers.py run ENGINE MODEL PICTURE THREADS
    python int8_peers.py onnx FOLDER

`run` answers an image file once, as a device does after its start, prints the answer, and then
times as many inferences as every line of stdin asks for. `onnx` builds graph.json and graph.npz of
a folder as an ONNX network and quantises it to int8 on the folder's images.npy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Infer = Callable[[], np.ndarray]


def tflite(interpreter: object, image: np.ndarray) -> Infer:
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def infer() -> np.ndarray:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        return interpreter.get_tensor(result)[0]

    return infer


def litert(model: str, image: np.ndarray, threads: int) -> Infer:
    from ai_edge_litert.interpreter import Interpreter

    return tflite(Interpreter(model_path=model, num_threads=threads), image)


def tflite_runtime(model: str, image: np.ndarray, threads: int) -> Infer:
    from tflite_runtime.interpreter import Interpreter

    return tflite(Interpreter(model_path=model, num_threads=threads), image)


def onnxruntime(model: str, image: np.ndarray, threads: int) -> Infer:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin would slow down whichever engine has its turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32))
    return lambda: session.run(None, {"image": batch})[0][0]


def openvino(model: str, image: np.ndarray, threads: int) -> Infer:
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32))
    return lambda: request.infer({0: batch})[0][0]


ENGINES = {
    "litert": litert, "tflite-runtime": tflite_runtime, "onnxruntime": onnxruntime,
    "openvino": openvino,
}  # fmt: skip


def run(engine: str, model: str, picture: str, threads: int) -> None:
    from PIL import Image

    image = np.asarray(Image.open(picture).convert("RGB").resize((224, 224), Image.Resampling.BOX))
    infer = ENGINES[engine](model, image, threads)
    print(json.dumps(np.asarray(infer(), float).tolist()), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            infer()
            times.append(time.perf_counter() - start)
        print(json.dumps({"seconds": times, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """Largest resident memory of this process; ru_maxrss would begin at the parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmHWM: this needs Linux")


def onnx(folder: Path) -> None:
    from onnx import checker, save
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    network = build(json.loads((folder / "graph.json").read_text()), np.load(folder / "graph.npz"))
    checker.check_model(network)
    save(network, folder / "float.onnx")
    # Folds the BatchNorms into the convolutions.
    quant_pre_process(folder / "float.onnx", folder / "folded.onnx", skip_symbolic_shape=True)
    images = np.load(folder / "images.npy").transpose(0, 3, 1, 2).astype(np.float32)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict | None:
            image = next(self.rest, None)
            return None if image is None else {"image": image[None]}

    quantize_static(
        folder / "folded.onnx",
        folder / "int8.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def build(graph: dict, weights: dict[str, np.ndarray]) -> object:
    """Make an ONNX network of the layers that a wide residual network has."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    for layer in graph["layers"]:
        name, inputs = layer["name"], layer["inputs"]
        values = [weights[f"{name}.{i}"] for i in range(layer["weights"])]
        attributes = {}
        match layer["type"]:
            case "Conv2D" | "DepthwiseConv2D":
                depthwise = layer["type"] == "DepthwiseConv2D"
                kernel = values[0].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                before, after = layer["padding"]
                attributes = {
                    "strides": layer["strides"],
                    "pads": [before, before, after, after],
                    "group": kernel.shape[0] if depthwise else 1,
                }
                inputs = [inputs[0], constant(f"{name}.kernel", kernel)]
                if len(values) > 1:
                    inputs.append(constant(f"{name}.bias", values[1]))
                operator = "Conv"
            case "BatchNormalization":
                attributes = {"epsilon": layer["epsilon"]}
                names = (f"{name}.{i}" for i in range(4))
                inputs = [inputs[0], *map(constant, names, values)]
                operator = "BatchNormalization"
            case "Dense":
                kernel, bias = (constant(f"{name}.{i}", v) for i, v in enumerate(values))
                inputs, operator = [inputs[0], kernel, bias], "Gemm"
            case "GlobalAveragePooling2D":
                nodes.append(helper.make_node("GlobalAveragePool", inputs, [f"{name}.map"]))
                inputs, operator = [f"{name}.map"], "Flatten"
            case other:
                operator = {"ReLU": "Relu", "Add": "Add", "Softmax": "Softmax"}[other]
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
    side, classes = graph["image_size"], graph["classes"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])
    result = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [1, classes])
    network = helper.make_graph(nodes, "wrn", [image], [result], constants)
    return helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    match sys.argv[1:]:
        case ["run", engine, model, picture, threads]:
            run(engine, model, picture, int(threads))
        case ["onnx", folder]:
            onnx(Path(folder))


if __name__ == "__main__":
    main()
