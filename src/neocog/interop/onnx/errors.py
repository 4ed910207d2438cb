"""Errors of the ONNX import."""

from neocog.errors import UnsupportedError
from neocog.model_file import ModelFileError


class OnnxImportError(ModelFileError):
    """An ONNX model is malformed, unsafe, or holds something that no layer computes."""


class UnsupportedOperatorError(OnnxImportError, UnsupportedError):
    """An ONNX model holds an operator, or a use of one, that no layer computes."""
