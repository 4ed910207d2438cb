"""Convolutional networks you can see through.

>>> import neocog
>>> data = neocog.data.line_patterns("b")
>>> network = neocog.models.tiny_cnn(seed=3)
>>> history = neocog.fit(network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=18, rng=11)
>>> round(history["val_accuracy"][-1], 3)
0.989
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neocog import data as data
    from neocog import initializers as initializers
    from neocog import kernels as kernels
    from neocog import layers as layers
    from neocog import losses as losses
    from neocog import models as models
    from neocog import optimizers as optimizers
    from neocog import schedules as schedules
    from neocog import training as training
    from neocog.estimators import ConvNetClassifier as ConvNetClassifier
    from neocog.estimators import ConvNetRegressor as ConvNetRegressor
    from neocog.gradcheck import check_gradients as check_gradients
    from neocog.kernels import set_threads as set_threads
    from neocog.kernels import use_kernels as use_kernels
    from neocog.layers import *  # noqa: F403
    from neocog.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from neocog.losses import FocalLoss as FocalLoss
    from neocog.losses import MeanSquaredError as MeanSquaredError
    from neocog.losses import SoftmaxCrossEntropy as SoftmaxCrossEntropy
    from neocog.optimizers import SGD as SGD
    from neocog.optimizers import Adam as Adam
    from neocog.optimizers import AdamW as AdamW
    from neocog.optimizers import NAdam as NAdam
    from neocog.optimizers import RMSProp as RMSProp
    from neocog.serialization import load as load
    from neocog.serialization import save as save
    from neocog.testing import check_layer as check_layer
    from neocog.testing import check_loss as check_loss
    from neocog.testing import check_optimizer as check_optimizer
    from neocog.training import evaluate as evaluate
    from neocog.training import fit as fit
    from neocog.training import predict as predict
    from neocog.training import predict_proba as predict_proba

__version__ = "0.1.0"

_MODULES = (
    "data",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "models",
    "optimizers",
    "schedules",
    "training",
)
_HOMES = {
    "SGD": "optimizers",
    "Adam": "optimizers",
    "AdamW": "optimizers",
    "BinaryCrossEntropy": "losses",
    "ConvNetClassifier": "estimators",
    "ConvNetRegressor": "estimators",
    "FocalLoss": "losses",
    "MeanSquaredError": "losses",
    "NAdam": "optimizers",
    "RMSProp": "optimizers",
    "SoftmaxCrossEntropy": "losses",
    "check_gradients": "gradcheck",
    "check_layer": "testing",
    "check_loss": "testing",
    "check_optimizer": "testing",
    "evaluate": "training",
    "fit": "training",
    "load": "serialization",
    "predict": "training",
    "predict_proba": "training",
    "save": "serialization",
    "set_threads": "kernels",
    "use_kernels": "kernels",
}
"""Public names by their module, which is loaded when one is first used; all layers are public, too."""

_NOTEBOOK = {"widget": "studio.widget", "widget_fit": "studio.widget"}
"""Not in ``__all__``, as they need anywidget, which may be missing."""


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({*_MODULES, *_HOMES, *import_module(f"{__name__}.layers").__all__})
    if not name.startswith("_"):
        home = (_HOMES | _NOTEBOOK).get(name)
        if home or (name not in _MODULES and name in __getattr__("__all__")):
            found = globals()[name] = getattr(import_module(f"{__name__}.{home or 'layers'}"), name)
            return found
        if find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__"), *_NOTEBOOK})
