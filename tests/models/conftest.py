import numpy as np
import pytest

import neocog
from neocog import layers
from neocog.layers import Dropout


@pytest.fixture
def losses():
    """Train on 16 digits, enlarged, and return the loss at each step; so short a job goes without dropout."""

    def train(network, lr, steps, low=0.0, high=1.0):
        C, H, W = network.input_shape
        images, labels = (part[:16] for part in neocog.data.digits().train)
        images = np.kron(images, np.ones((C, -(-H // 8), -(-W // 8)), np.float32))[:, :, :H, :W]
        images = low + (high - low) * images
        for _, layer in network.leaves():
            if isinstance(layer, Dropout):
                layer.p = 0.0
        loss, optimizer, values = neocog.SoftmaxCrossEntropy(), neocog.SGD(lr, momentum=0.9), []
        for _ in range(steps):
            z, cache = network.forward(images, training=True)
            value, dz = loss(z, labels)
            _, grads = network.backward(dz, cache, input_grad=False)
            optimizer.step(network.params, grads)
            values.append(float(value))
        return values

    return train


@pytest.fixture
def shapes():
    """Shapes of one image on its way through a network, by layer name, without the batch."""

    def table(network):
        return {row.name: row.output_shape[1:] for row in network.summary(show=False).rows}

    return table


@pytest.fixture
def multiply_adds():
    """Those of the convolutions and dense layers in one forward pass, as they are usually counted."""

    def count(network):
        rows = network.summary(show=False).rows
        return (
            sum(row.flops for row in rows if row.layer.startswith(("Conv2D", "Dense", "SparseConv2D"))) // 2
        )

    return count


@pytest.fixture
def survives(tmp_path):
    """Check that a network comes back from its file, and from its repr, as it was."""

    def check(network):
        neocog.save(network, tmp_path / "network.neocog")
        twin = neocog.load(tmp_path / "network.neocog")
        assert repr(twin) == repr(network)
        assert twin.input_shape == network.input_shape
        x = np.random.default_rng(0).random((2, *network.input_shape), np.float32)
        np.testing.assert_array_equal(twin(x), network(x))
        written = eval(repr(network), dict(vars(layers)))
        assert {**written.params, **written.buffers}.keys() == {**network.params, **network.buffers}.keys()

    return check
