"""Networks, ready made."""

from neocog.models.tiny import digits_cnn, tiny_cnn, tiny_mlp

__all__ = ["digits_cnn", "tiny_cnn", "tiny_mlp"]
