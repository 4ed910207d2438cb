"""What a program can do: compiled loops over arrays."""

from neocog.kernels.fused.operations import learning, planes, products, winograd

__all__ = ["learning", "planes", "products", "winograd"]
