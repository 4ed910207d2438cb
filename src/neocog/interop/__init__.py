"""The way to other libraries and back: PyTorch and ONNX."""
