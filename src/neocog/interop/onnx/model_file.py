"""Read model files and the tensors in them, all of which may be malicious."""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from neocog.interop.onnx.errors import OnnxImportError

# How often tensors may read the same external file in all: a small file must not fill the memory.
MOST_READ = 4


def read_model(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto,
) -> tuple[onnx.ModelProto, Path | None]:
    """Return a model, and the folder that may hold its external data.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    OnnxImportError
        If it is no ONNX model, or truncated.
    """
    if isinstance(source, onnx.ModelProto):
        return source, None
    folder = None
    content = source
    if not isinstance(source, bytes):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}.")
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder, not a model file.")
        content, folder = path.read_bytes(), path.parent
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RuntimeError) as error:
        raise OnnxImportError(f"{_named(source)} is not an ONNX model, or is truncated: {error}.") from error
    if not model.graph.node and not model.graph.output:
        raise OnnxImportError(
            f"{_named(source)} is not an ONNX model, or is truncated: there is no graph in it."
        )
    return model, folder


def _named(source: object) -> str:
    return "the content" if isinstance(source, bytes) else str(source)


HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def float32_for_half(element: int) -> int:
    """Return an ONNX type, but float32 for float16 and bfloat16, in which nothing here computes."""
    return onnx.TensorProto.FLOAT if element in HALF else element


def tensor_array(
    tensor: onnx.TensorProto, folder: Path | None = None, read: Counter[str] | None = None
) -> np.ndarray:
    """Return a tensor's numbers, after checking that their count fits its shape; half precision as float32.

    ``read`` counts the bytes that were read from each file.

    Raises
    ------
    OnnxImportError
        If they do not fit, have a type that NumPy lacks, or lie in a file outside the model's folder.
    """
    label = f"tensor {tensor.name!r}"
    dims = tuple(tensor.dims)
    if min(dims, default=0) < 0:
        raise OnnxImportError(f"{label} must have sizes of 0 or more, got {dims}.")
    if tensor.HasField("segment"):
        raise OnnxImportError(f"{label} is split into segments, which no exporter writes.")
    try:
        half = tensor.data_type in HALF
        dtype = np.dtype(np.uint16 if half else helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError) as error:
        raise OnnxImportError(f"{label} has the unknown type {tensor.data_type}.") from error
    if dtype.kind not in "fiub":
        raise OnnxImportError(f"{label} must hold numbers, got {dtype}.")
    count = math.prod(dims)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        array = _external(tensor, label, dtype, folder, Counter() if read is None else read)
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != count * dtype.itemsize:
            raise OnnxImportError(
                f"{label} of shape {dims} must have {count * dtype.itemsize} bytes, got "
                f"{len(tensor.raw_data)}."
            )
        array = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    else:
        field = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
        if len(field) != count:
            raise OnnxImportError(f"{label} of shape {dims} must have {count} numbers, got {len(field)}.")
        array = np.array(field, dtype) if half else numpy_helper.to_array(tensor)
    if tensor.data_type == onnx.TensorProto.FLOAT16:
        array = array.view(np.float16).astype(np.float32)
    elif half:
        array = (array.astype(np.uint32) << 16).view(np.float32)  # the first half of a float32
    return array.reshape(dims)


def initializers(graph: onnx.GraphProto, folder: Path | None) -> dict[str, np.ndarray]:
    """Return the arrays of a graph by name.

    Raises
    ------
    OnnxImportError
        As :func:`tensor_array`; or if tensors read an external file more than ``MOST_READ`` times over.
    """
    read: Counter[str] = Counter()
    return {tensor.name: tensor_array(tensor, folder, read) for tensor in graph.initializer}


def _external(
    tensor: onnx.TensorProto, label: str, dtype: np.dtype, folder: Path | None, read: Counter[str]
) -> np.ndarray:
    """Read numbers from another file in the model's folder."""
    if folder is None:
        raise OnnxImportError(f"{label} lies in another file: pass the model's path, not its content.")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    root = os.path.realpath(folder)
    # Links are resolved first, so that none leads out of the folder.
    path = os.path.realpath(os.path.join(root, location))
    parts = location.replace("\\", "/").split("/")
    if not location or os.path.isabs(location) or ".." in parts or os.path.commonpath([root, path]) != root:
        raise OnnxImportError(
            f"{label} lies in {location!r}, outside the model's folder; only a file beside the model is read."
        )
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        raise OnnxImportError(f"{label} lies in {location!r}, which is missing beside the model.") from None
    if not stat.S_ISREG(found.st_mode):
        raise OnnxImportError(f"{label} lies in {location!r}, which is not a file.")
    wanted = math.prod(tensor.dims) * dtype.itemsize
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    except ValueError:
        raise OnnxImportError(f"{label} has an offset or a length that is no integer: {entries}.") from None
    if length != wanted or offset < 0 or offset + length > found.st_size:
        raise OnnxImportError(
            f"{label} of shape {tuple(tensor.dims)} must have {wanted} bytes; {location!r} gives {length} "
            f"from {offset}, of {found.st_size}."
        )
    read[path] += wanted
    if read[path] > MOST_READ * found.st_size:
        raise OnnxImportError(
            f"{label} lies in {location!r}, of which tensors have been read more than {MOST_READ} times over."
        )
    with open(path, "rb") as file:
        file.seek(offset)
        content = file.read(length)
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False)
