"""Convolutional networks you can see through.

>>> import neocog
>>> data = neocog.data.line_patterns("b")
>>> network = neocog.models.tiny_cnn(seed=3)
>>> history = neocog.fit(network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=18, rng=11)
>>> round(history["val_accuracy"][-1], 3)
0.989
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neocog import data, initializers, kernels, layers, losses, models, optimizers, schedules, training
from neocog.gradcheck import check_gradients
from neocog.kernels import set_threads, use_kernels
from neocog.layers import *  # noqa: F403
from neocog.layers import __all__ as _layers
from neocog.losses import BinaryCrossEntropy, FocalLoss, MeanSquaredError, SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam, AdamW, NAdam, RMSProp
from neocog.serialization import load, save
from neocog.testing import check_layer, check_loss, check_optimizer
from neocog.training import evaluate, fit, predict, predict_proba

if TYPE_CHECKING:
    from neocog.estimators import ConvNetClassifier, ConvNetRegressor

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "ConvNetClassifier",
    "ConvNetRegressor",
    "FocalLoss",
    "MeanSquaredError",
    "NAdam",
    "RMSProp",
    "SoftmaxCrossEntropy",
    "check_gradients",
    "check_layer",
    "check_loss",
    "check_optimizer",
    "data",
    "evaluate",
    "fit",
    "initializers",
    "kernels",
    "layers",
    "load",
    "losses",
    "models",
    "optimizers",
    "predict",
    "predict_proba",
    "save",
    "schedules",
    "set_threads",
    "training",
    "use_kernels",
    *_layers,
]

NOTEBOOK = ("widget", "widget_fit")
"""Not in ``__all__``, as they need anywidget, which may be missing."""


def __getattr__(name: str) -> Any:
    if name in ("ConvNetClassifier", "ConvNetRegressor"):  # not before scikit-learn is needed
        from neocog import estimators

        return getattr(estimators, name)
    if name in NOTEBOOK:
        return getattr(import_module("neocog.studio.widget"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *NOTEBOOK})
