"""Share parts of the docstrings of the classifier and the regressor."""

import inspect
from typing import TypeVar

Estimator = TypeVar("Estimator", bound=type)

PARTS = {
    "network": """\
network : None, str, function or Layer, default None
    The network to train. None: :func:`neocog.models.image_cnn`, stages of 3 x 3 convolution, group
    normalization, ReLU and 2 x 2 max pooling, one for each of ``filters``, then a dense layer; it begins with
    a layer ``normalize`` that holds mean and standard deviation of each channel of the images in fit, or in
    the first call of partial_fit. A name: one of ``neocog train --network``, such as "small-cnn" or
    "resnet20". A function that returns a network: it is called with those of the arguments
    ``image_shape``, ``classes`` or ``outputs`` (their number), ``seed`` or ``rng``, and ``dtype`` that it
    has, or all if it has ``**kwargs``, so that the functions of :mod:`neocog.models` fit. A network:
    each fit trains a copy of it, starting from its weights.
""",
    "training": """\
filters : int, sequence of int or None, default None
    Channels of the stages that the network None has; None: as many as suit the size of the images. Leave it
    out with another network.
image_shape : (C, H, W) or (H, W), optional
    Shape of the images in the rows of a table X; see the notes.
epochs : int, default 20
    Passes over the images in a call of fit.
batch_size : int, default 32
lr : float, default 0.01
    Learning rate; with a schedule, the highest one. The default suits Adam and its kin; "sgd" needs a
    lower one.
schedule : str, default "one-cycle"
    How the learning rate changes over the epochs of fit: "constant", "cosine", "one-cycle", "polynomial" or
    "warm-restarts", see :mod:`neocog.schedules`; or "plateau": a fifth after more than four epochs in which
    the loss has not improved, on the images held out if there are such, else on the others. In partial_fit,
    which does not know how many calls will come, it is constant.
optimizer : {"adamw", "adam", "nadam", "rmsprop", "sgd"} or function, default "adamw"
    "sgd" uses Nesterov momentum of 0.9. A function is called with ``lr=`` (a number, or a schedule) and
    ``weight_decay=``; the classes in :mod:`neocog.optimizers` are such functions.
weight_decay : float, default 0.01
    Its effect depends on the optimizer: 0.01 suits "adamw", 0.0001 the others. Between two calls of
    ``partial_fit`` ``lr`` may be changed; optimizer and weight decay are kept.
clip_norm : float, optional
    The largest norm of all gradients together; see :class:`neocog.optimizers.Optimizer`.
""",
    "fitting": """\
augment : function (images, rng) -> images, or str, optional
    Changes each training batch; see :mod:`neocog.data.augmentation`. A name is one of
    ``neocog train --augment``, such as "shift" or "flip-affine".
early_stopping : bool, default False
    Whether to hold out a part of the images, stop when the loss on it has not improved for some epochs,
    and restore the weights of the best epoch. There is no ``partial_fit`` then.
validation_fraction : float in (0, 1), default 0.1
    The part held out: at least two images; of a classifier at least one of each class, and where
    possible the same share of every class. Weights count in it as in training.
patience : int or None, default 10
    Number of epochs without improvement to wait; None: train all epochs, and keep the best.
warm_start : bool, default False
    Whether a further fit continues with the weights of the last one. The optimizer starts anew.
callbacks : sequence of Callback, default ()
    See :class:`neocog.training.Callback`. A search clones them with the estimator.
random_state : int, RandomState or None, default None
    Determines the initial weights, the order of the images, what is held out, and what augmentation and
    layers such as dropout draw.
n_jobs : int or None, default None
    Threads of the compiled kernels, which long jobs use: one, or what :func:`joblib.parallel_config`
    sets; -1 for all cores. Results do not depend on it.
kernels : {"auto", "im2col", "fused", "reference"}, default "auto"
    The kernels to compute with; see :class:`neocog.use_kernels`. "auto": those in use where the estimator
    is called, by default the compiled ``fused`` for long jobs only. If set here, it also holds in the
    processes of a search.
verbose : bool, default False
    Whether to print a line per epoch, and what :class:`neocog.training.Diagnose` notices.
""",
    "fitted": """\
network_ : Container
    The trained network, to be inspected, drawn, and saved: ``neocog.save(model.network_, path)``.
history_ : History
    One row per epoch since the network was new.
loss_curve_ : list of float
    Mean loss of the batches of each epoch during training.
n_iter_ : int
    Number of epochs trained.
best_validation_score_ : float or None
    The validation score of the epoch whose weights were restored.
image_shape_ : (C, H, W)
n_features_in_ : int
    Numbers per image.
feature_names_in_ : (features,)
    Names of the columns, if X was a DataFrame with such.
""",
    "notes": """\
X may be images (N, C, H, W); grey images (N, H, W); or a table (N, features), each row of which holds the
numbers of an image in row-major order, with ``image_shape``. Without ``image_shape`` a row of the table is
a signal, an image of one line (1, 1, features): nothing is guessed. A table whose channels seem to come
last, as in (28, 28, 3), is refused.

uint8 is the type of pixels 0..255, which are divided by 255 and computed with in float32; only a mask, which
in fit holds nothing but 0 and 1, is not divided. Other numbers are taken as they are; float32 is computed
with in float32, everything else in float64, as scikit-learn does. If X was pixels in fit, it must be pixels
or 0..1 later, if a mask, 0..1; if not, it must not be uint8. Numbers between about -1 and 1 train best:
divide pixels by the highest, or put a scaler before.
""",
}


def share_documentation(estimator: Estimator) -> Estimator:
    """Replace each ``%(part)s`` in the docstring of an estimator by the shared part of that name."""
    if estimator.__doc__ is not None:  # as under python -OO
        estimator.__doc__ = inspect.cleandoc(estimator.__doc__) % PARTS
    return estimator
