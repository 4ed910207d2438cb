"""Give a trained network a new head, for other classes."""

from __future__ import annotations

import copy
from typing import Any

from neocog.layers import Container, Conv2D, Dense, LogSoftmax, Sigmoid, Softmax
from neocog.layers.base import Layer, check_network
from neocog.validation import RandomSource, integer

__all__ = ["head_of", "with_new_head"]


def head_of(network: Layer) -> tuple[str, Dense | Conv2D]:
    """Return the layer that makes a network's outputs, with its dotted name.

    It is the last layer with parameters: a :class:`~neocog.layers.Dense`, or a 1 x 1
    :class:`~neocog.layers.Conv2D` as in fully convolutional networks.

    Raises
    ------
    ValueError
        If the last layer with parameters is another one.

    Examples
    --------
    >>> from neocog.models import resnet_cifar
    >>> head_of(resnet_cifar(8))
    ('fc', Dense(64, 10))
    """
    network = check_network(network).original
    name, last = next(((n, leaf) for n, leaf in reversed(list(network.leaves())) if leaf.params), ("", None))
    if isinstance(last, Dense) or (
        isinstance(last, Conv2D) and last.kernel_size == (1, 1) and last.groups == 1
    ):
        return name, last
    found = "it has no layer with parameters" if last is None else f"its last one is {name!r}, {last!r}"
    raise ValueError(
        f"the head, a network's last layer with parameters, must be Dense or a 1 x 1 Conv2D, but {found}; "
        'put a new one in its place yourself: network["name"] = Dense(...).'
    )


def with_new_head(network: Layer, classes: int, rng: RandomSource = None) -> Any:
    """Return a copy of a trained network with a new head: as many outputs as there are other classes.

    The last layer with parameters, :func:`head_of`, is replaced by a fresh one of the same kind; a Softmax,
    LogSoftmax or Sigmoid at the end is left out, so that the outputs are logits. All other weights are those
    of the network, and what is frozen stays so. The copy has the same input shape and preprocessing, and no
    class names yet.

    Parameters
    ----------
    network : Container
        A Sequential, Graph or nesting of these; unchanged.
    classes : int
    rng : Generator, int or None
        Draws the weights of the new head.

    Returns
    -------
    Sequential or Graph

    Raises
    ------
    ValueError
        If the network has no head that can be replaced, or ``classes`` is below 1.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> tiny_cnn()["dense"], with_new_head(tiny_cnn(), 5, rng=0)["dense"]
    (Dense(27, 3), Dense(27, 5))
    """
    name, head = head_of(network)
    classes = integer("classes", classes)
    if not name:
        raise ValueError(f"network must be a Sequential or a Graph, got {head!r} alone.")
    copied = copy.deepcopy(network.original)
    assert isinstance(copied, Container)
    if sum(leaf is copied[name] for _, leaf in copied.leaves()) > 1:
        raise ValueError(f"the head {name!r} occurs at several places, and cannot be replaced.")
    outputs = "out_features" if isinstance(head, Dense) else "out_channels"
    dtype = head.params["weight"].dtype
    copied[name] = type(head)(**head.config() | {outputs: classes}, rng=rng, dtype=dtype)
    renewed = copied.without_last(Softmax, LogSoftmax, Sigmoid)
    renewed.class_names = renewed.class_weight = renewed.output_kind = None
    return renewed
