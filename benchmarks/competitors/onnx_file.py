"""The ONNX file of a network, which another process writes, for the runtimes that read it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from networks import (
    NETWORKS,
    Average,
    Conv,
    Dense,
    Drop,
    Flatten,
    Gates,
    HardSwish,
    Network,
    Norm,
    Pool,
    ReLU,
    ReLU6,
    Residual,
)


def prepare(network: Network) -> Path:
    """Return the network's file; let another process write it if there is none."""
    file = Path(os.environ["NEOCOG_BENCH_FOLDER"]) / f"{network.name}-{network.image[1]}.onnx"
    if not file.exists():
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, __file__, network.name, str(network.image[1]), str(file)]
        subprocess.run(command, env=environment, check=True)
    return file


def write(network: Network, file: str) -> None:
    """Write a network as an ONNX file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, arrays, weights = [], [], network.weights()

    def add(kind: str, *inputs: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"y{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def keep(array) -> str:
        arrays.append(numpy_helper.from_array(np.asarray(array), f"w{len(arrays)}"))
        return arrays[-1].name

    def chain(layers: tuple, x: str) -> str:
        for layer in layers:
            x = node(layer, x, weights)
        return x

    def node(layer, x: str, weights: Iterator) -> str:
        match layer:
            case Conv(_, _, stride, padding, bias, groups):
                params = [keep(next(weights)) for _ in range(1 + bias)]
                return add("Conv", x, *params, strides=[stride] * 2, pads=[padding] * 4, group=groups)
            case Pool(size, stride, padding):
                return add("MaxPool", x, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[padding] * 4)
            case Norm(eps):
                scale, bias = next(weights), next(weights)
                kept = [keep(a) for a in (scale, bias, 0 * scale, 0 * scale + 1)]
                return add("BatchNormalization", x, *kept, epsilon=eps)
            case Dense():
                return add("Gemm", x, keep(next(weights)), keep(next(weights)))
            case Residual(shortcut, body):
                return add("Add", chain(shortcut, x), chain(body, x))
            case ReLU():
                return add("Relu", x)
            case ReLU6():
                return add("Clip", x, keep(np.float32(0)), keep(np.float32(6)))
            case HardSwish():
                return add("HardSwish", x)
            case Gates(squeezed):
                gate = chain((Average(), Conv(squeezed, 1), ReLU(), Conv(0, 1)), x)
                return add("Mul", x, add("HardSigmoid", gate, alpha=1 / 6, beta=0.5))
            case Average():
                return add("GlobalAveragePool", x)
            case Flatten():
                return add("Flatten", x)
            case Drop():
                return x
        raise TypeError(layer)

    output = chain(network.layers, "x")
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *network.image])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", network.classes])],
        arrays,
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    onnx.save(model, file)


if __name__ == "__main__":
    name, side, file = sys.argv[1:]
    write(NETWORKS[name].with_side(int(side)), file)
