"""What is raised when an ONNX model cannot become a network."""

from neocog.serialization import ModelFileError


class OnnxImportError(ModelFileError):
    """An ONNX model is malformed, unsafe, or holds something that no layer computes."""
