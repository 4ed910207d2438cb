import numpy as np
import pytest
import torch

from neocog.inspection import trace
from neocog.inspection.receptive_field import unit_receptive_field
from neocog.models import lenet5, lenet5_1998
from neocog.models.lenet import fan_in_uniform

from .torch_twins import LeNet5, LeNet1998, awake, twin_of, worst_difference

# Table I of the paper, by columns.
SEEN_BY_C3 = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 61_706),
        ({"image_shape": (1, 32, 32)}, 61_706),
        ({"image_shape": (3, 32, 32)}, 61_706 + 2 * 150),
        ({"classes": 26}, 61_706 + 16 * 85),
        ({"image_shape": (1, 16, 12)}, 61_706 - (400 - 16 * 2 * 1) * 120),
    ],
)
def test_parameter_counts(arguments, parameters):
    assert lenet5(**arguments).parameter_count == parameters


def test_layer_table(shapes):
    table = shapes(lenet5())
    assert table["conv1"] == (6, 28, 28)
    assert table["pool1"] == (6, 14, 14)
    assert table["conv2"] == (16, 10, 10)
    assert table["pool2"] == (16, 5, 5)
    assert [table[name] for name in ("flatten", "fc1", "fc2", "fc3")] == [(400,), (120,), (84,), (10,)]


def test_the_network_of_1998_has_the_counts_of_the_paper():
    """Trainable parameters and connections, layer by layer, from section II.B; 340 908 connections in all."""
    rows = {row.name: row for row in lenet5_1998().summary(show=False).rows}
    parameters = {name: row.parameters for name, row in rows.items() if row.parameters}
    assert parameters == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert lenet5_1998().parameter_count == 60_000
    # connections: a unit's inputs, and one more for its bias
    units = {name: int(np.prod(row.output_shape)) for name, row in rows.items()}
    connections = {name: rows[name].flops // 2 + units[name] for name in ("c1", "c3", "c5", "f6")}
    connections |= {name: rows[f"{name}_mean"].flops + units[name] for name in ("s2", "s4")}
    connections["output"] = 84 * 10
    expected = {"c1": 122_304, "s2": 5_880, "c3": 151_600, "s4": 2_000, "c5": 48_120, "f6": 10_164}
    assert connections == expected | {"output": 840}
    assert sum(connections.values()) == 340_908


def test_what_c3_sees():
    wanted = tuple(tuple(int(c) for c in seen) for seen in SEEN_BY_C3.split())
    assert lenet5_1998()["c3"].connections == wanted


def test_the_codes_are_pictures_of_their_own():
    """Any two differ in 10 of 84 pixels or more, so that half as many wrong ones are forgiven."""
    codes = lenet5_1998()["output"].buffers["centers"]
    assert codes.shape == (10, 84)
    assert set(codes.ravel().tolist()) == {-1.0, 1.0}
    differ = (codes[:, None] != codes[None]).sum(axis=2) + 84 * np.eye(10, dtype=int)
    assert differ.min() >= 10
    one = ["".join(".#"[int(dot > 0)] for dot in row) for row in codes[1].reshape(12, 7)]
    assert one == ["...#...", "..##...", ".#.#...", *["...#..."] * 8, ".#####."]


def test_the_initial_weights_of_1998():
    weights = lenet5_1998(rng=0, dtype="float64").params
    fans = {"c1": 25, "s2": 1, "c5": 400, "f6": 120}
    for name, fan_in in fans.items():
        size = np.abs(weights[f"{name}.weight"]).max()
        assert size <= 2.4 / fan_in
        assert size > 0.5 * 2.4 / fan_in
    c3 = weights["c3.weight"]
    assert np.abs(c3[:3]).max() > 2.4 / 100 > np.abs(c3[18:22]).max() > 2.4 / 150 > np.abs(c3[-6:]).max()
    assert fan_in_uniform((2, 2), 3, 1, np.random.default_rng(0), "float32").dtype == np.float32


@pytest.mark.parametrize(
    ("image_shape", "padding", "features"), [((1, 28, 28), 2, 400), ((3, 32, 40), 0, 16 * 5 * 7)]
)
def test_same_as_pytorch(image_shape, padding, features):
    network = awake(lenet5(10, image_shape, rng=0, dtype="float64"))
    twin = twin_of(network, lambda: LeNet5(padding, features, 10, image_shape[0]))
    x = np.random.default_rng(1).normal(size=(3, *image_shape))
    assert worst_difference(network, twin, x) < 1e-12


def test_the_network_of_1998_is_what_the_paper_says():
    network = awake(lenet5_1998(rng=0, dtype="float64"))
    table = np.array([[str(c) in seen for c in range(6)] for seen in SEEN_BY_C3.split()], float)
    twin = LeNet1998(torch.tensor(table), torch.tensor(network.buffers["output.centers"])).double()
    weights = {name: torch.tensor(array) for name, array in network.params.items()}
    with torch.no_grad():
        for name in ("c1", "c5"):
            getattr(twin, name).weight[...] = weights[f"{name}.weight"]
        twin.f6.weight[...] = weights["f6.weight"].T
        kernels = iter(weights["c3.weight"])
        for f, c in np.argwhere(table):
            twin.c3.weight[f, c] = next(kernels)
        for name in ("c1", "c3", "c5", "f6"):
            getattr(twin, name).bias[...] = weights[f"{name}.bias"]
        for k in (2, 4):  # a sum of four there, a mean of four here
            getattr(twin, f"coefficient{k}")[...] = weights[f"s{k}.weight"].ravel() / 4
            getattr(twin, f"bias{k}")[...] = weights[f"s{k}.bias"]
    x = np.random.default_rng(1).uniform(-0.1, 1.175, size=(3, 1, 32, 32))
    tensor = torch.tensor(x, requires_grad=True)
    logits = twin(tensor)
    dy = np.random.default_rng(2).normal(size=(3, 10))
    logits.backward(torch.tensor(dy))
    y, cache = network.forward(x)
    dx, grads = network.backward(dy, cache)
    wanted = {
        f"{n}.{kind}": getattr(getattr(twin, n), kind).grad
        for n in ("c1", "c5")
        for kind in ("weight", "bias")
    }
    wanted |= {"c3.bias": twin.c3.bias.grad, "f6.weight": twin.f6.weight.grad.T, "f6.bias": twin.f6.bias.grad}
    wanted["c3.weight"] = twin.c3.weight.grad[torch.tensor(table) > 0]
    for k in (2, 4):
        wanted[f"s{k}.weight"] = getattr(twin, f"coefficient{k}").grad.reshape(-1, 1, 1, 1) / 4
        wanted[f"s{k}.bias"] = getattr(twin, f"bias{k}").grad
    assert set(wanted) == set(grads)
    for got, expected in [(y, logits.detach()), (dx, tensor.grad), *((grads[n], wanted[n]) for n in grads)]:
        assert got.shape == tuple(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))


def test_both_learn(losses):
    values = losses(lenet5(image_shape=(1, 32, 32), rng=0), lr=0.02, steps=15)
    assert values[-1] < 0.75 * values[0]
    values = losses(lenet5_1998(rng=0), lr=0.02, steps=10, low=-0.1, high=1.175)
    assert values[-1] < 0.75 * values[0]


@pytest.mark.parametrize("make", [lenet5, lenet5_1998])
def test_tools(make, survives):
    network = make(rng=0)
    survives(network)
    seen = trace(network, np.zeros((2, *network.input_shape)), np.array([3, 5]))
    assert list(seen.records) == [name for name, _ in network.leaves()]


def test_what_units_of_1998_see():
    field = unit_receptive_field(lenet5_1998(), "c3", (0, 9))
    assert (field.rows, field.columns) == (slice(0, 14), slice(18, 32))
    assert unit_receptive_field(lenet5_1998(), "output", 0).rows == slice(0, 32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"classes": 0}, ValueError, "out_features must be at least 1"),
        ({"image_shape": (1, 11, 28)}, ValueError, "layer 'pool2': MaxPool2D's window"),
        ({"image_shape": (28, 28)}, ValueError, "image_shape must be"),
        ({"rng": -1}, ValueError, "rng must be at least 0"),
        ({"dtype": "int8"}, TypeError, "dtype must be a floating point type"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        lenet5(**arguments)
