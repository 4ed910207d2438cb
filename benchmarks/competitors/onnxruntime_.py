"""ONNX Runtime, which itself joins convolution and batch norm."""

from __future__ import annotations

import os

import onnxruntime

from competitors.onnx_file import prepare
from networks import Network


def inference(network: Network, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # 0: as many as there are cores
    options.add_free_dimension_override_by_name("N", len(x))
    session = onnxruntime.InferenceSession(prepare(network), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]
