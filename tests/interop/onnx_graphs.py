"""ONNX models by hand, and ONNX Runtime as the judge of what they compute."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def node(operator, inputs, output, name="", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), name, **attributes)


def model(nodes, arrays, shape, opset=17, output=None, inputs=("x",), dtype=TensorProto.FLOAT, listed=False):
    """A model of nodes and arrays by name; ``listed``: arrays are inputs too, as in old files."""
    given = [helper.make_tensor_value_info(name, dtype, shape) for name in inputs]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    if listed:
        given += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    last = output or nodes[-1].output[0]
    results = [helper.make_tensor_value_info(last, dtype, None)]
    graph = helper.make_graph(nodes, "by hand", given, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def runtime(model, *x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = onnxruntime.InferenceSession(content, options)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, x, strict=True)))[0]
