"""OpenVINO in float32: left to itself it computes in bfloat16 where the processor does."""

from __future__ import annotations

import os

import openvino

from competitors.onnx_file import prepare
from networks import Network


def inference(network: Network, x):
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads := os.environ.get("OMP_NUM_THREADS"):
        settings["INFERENCE_NUM_THREADS"] = threads
    model = openvino.Core().read_model(prepare(network))
    model.reshape({model.inputs[0].any_name: x.shape})
    request = openvino.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True)[0]
