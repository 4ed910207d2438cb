"""ONNX: networks written as models that any runtime computes, and models read as networks to train."""

try:
    import onnx as _onnx  # noqa: F401 - everything here needs it
except ImportError as error:
    raise ImportError('neocog.interop.onnx needs ONNX: pip install "neocog[onnx]"') from error

from neocog.interop.onnx import operators as _operators  # noqa: F401 - registers readers and writers
from neocog.interop.onnx.backend import Backend
from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.from_model import from_onnx
from neocog.interop.onnx.to_model import to_onnx
from neocog.interop.onnx.writer import writes

__all__ = ["Backend", "OnnxImportError", "from_onnx", "to_onnx", "writes"]
