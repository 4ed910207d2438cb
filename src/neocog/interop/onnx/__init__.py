"""Export networks to ONNX models, and import ONNX models as networks to train."""

try:
    import onnx as _onnx  # noqa: F401 - everything here needs it
except ImportError as error:
    raise ImportError('neocog.interop.onnx needs ONNX: pip install "neocog[onnx]"') from error

from neocog.interop.onnx import operators as _operators  # noqa: F401 - registers readers and writers
from neocog.interop.onnx.backend import Backend
from neocog.interop.onnx.errors import OnnxImportError, UnsupportedOperatorError
from neocog.interop.onnx.export_graph import operator_of, writes
from neocog.interop.onnx.exporting import to_onnx
from neocog.interop.onnx.import_node import reads
from neocog.interop.onnx.importing import from_onnx

__all__ = [
    "Backend",
    "OnnxImportError",
    "UnsupportedOperatorError",
    "from_onnx",
    "operator_of",
    "reads",
    "to_onnx",
    "writes",
]
