"""Define optimizers: how a gradient changes a weight.

``optimizer.step(params, grads)`` changes the arrays of ``params`` in place. An optimizer's memory of
each parameter is kept in ``state``, by name, and is saved in checkpoints.

Weight decay acts on weights only, that is on parameters of two or more axes: biases, of whatever shape, and
the scales of a batch norm do not decay, unless ``decay_all``.

With ``clip_norm`` all gradients are scaled down together where their common norm is larger. Groups of
parameters learn at rates of their own by ``rates``, as ``{"features": 0.1}``: factors of the learning rate.
"""

from neocog.optimizers.adam import Adam, AdamW, NAdam
from neocog.optimizers.base import Optimizer
from neocog.optimizers.rmsprop import RMSProp
from neocog.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "NAdam", "Optimizer", "RMSProp"]
