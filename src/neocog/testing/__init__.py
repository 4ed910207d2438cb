"""Check layers, losses and optimizers: neocog's own and yours.

Each takes a function that makes the object, runs every part of its contract, and raises one AssertionError
that names all parts that are broken.
"""

from neocog.testing.layers import check_layer
from neocog.testing.losses import check_loss
from neocog.testing.optimizers import check_optimizer

__all__ = ["check_layer", "check_loss", "check_optimizer"]
