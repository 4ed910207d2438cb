"""A new head on a trained network."""

import numpy as np
import pytest

from neocog.layers import (
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
)
from neocog.models import head_of, resnet_cifar, tiny_cnn, with_new_head


def fully_convolutional():
    return Sequential(
        features=Sequential(Conv2D(3, 4, 3, rng=0), ReLU()),
        classifier=Sequential(Dropout(0.5), Conv2D(4, 10, 1, rng=1), ReLU(), GlobalAvgPool2D()),
        softmax=Softmax(),
    )


def graph():
    nodes = {
        "conv": (Conv2D(1, 2, 3, rng=0), "input"),
        "flat": (Flatten(), "conv"),
        "fc": (Dense(72, 4, bias=False, rng=1), "flat"),
        "end": (LogSoftmax(), "fc"),
    }
    return Graph(nodes)


@pytest.mark.parametrize(
    ("network", "name", "new", "shape"),
    [
        (tiny_cnn(seed=1), "dense", Dense(27, 5), (1, 8, 8)),
        (resnet_cifar(8, rng=0), "fc", Dense(64, 5), (3, 16, 16)),
        (fully_convolutional(), "classifier.1", Conv2D(4, 5, 1), (3, 8, 8)),
        (graph(), "fc", Dense(72, 5, bias=False), (1, 8, 8)),
        (Sequential(Flatten(), Dense(64, 1, rng=0), Sigmoid()), "1", Dense(64, 5), (1, 8, 8)),
    ],
)
def test_a_new_head(network, name, new, shape):
    network.class_names, network.input_shape, network.class_weight = None, shape, None
    network.freeze("features")
    before = {key: array.copy() for key, array in network.params.items()}
    twin = with_new_head(network, 5, rng=3)
    assert head_of(network)[0] == name
    assert repr(twin[name]) == repr(new)
    assert twin.output_shape((2, *shape)) == (2, 5)
    assert (twin.input_shape, twin.class_names, twin.output_kind) == (shape, None, "logits")
    assert set(twin.frozen) == set(network.frozen)
    assert all(key.startswith(name) for key in twin.trainable_params)
    for key, array in before.items():
        np.testing.assert_array_equal(network.params[key], array)
        if not key.startswith(f"{name}."):
            np.testing.assert_array_equal(twin.params[key], array)
            assert not np.shares_memory(twin.params[key], network.params[key])
    again = with_new_head(network, 5, rng=3)
    np.testing.assert_array_equal(again.params[f"{name}.weight"], twin.params[f"{name}.weight"])
    assert twin.params[f"{name}.weight"].dtype == network.params[f"{name}.weight"].dtype


def test_networks_without_a_head():
    with pytest.raises(ValueError, match=r"a 1 x 1 Conv2D, but its last one is '1', BatchNorm2D"):
        with_new_head(Sequential(Conv2D(1, 2, 1), BatchNorm2D(2)), 3)
    with pytest.raises(ValueError, match="its last one is '0', Conv2D"):
        head_of(Sequential(Conv2D(1, 2, 3)))
    with pytest.raises(ValueError, match="it has no layer with parameters"):
        head_of(Sequential(ReLU()))
    with pytest.raises(ValueError, match="must be a Sequential or a Graph, got Dense"):
        with_new_head(Dense(2, 3), 4)
    shared = Dense(3, 3)
    with pytest.raises(ValueError, match=r"the head 'b' occurs at several places"):
        with_new_head(Sequential(a=shared, b=shared), 4)
    with pytest.raises(ValueError, match="classes must be"):
        with_new_head(tiny_cnn(), 0)
