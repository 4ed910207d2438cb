"""What every layer can do: parameters, loading, copies, walks, threads."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Graph,
    Layer,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)


def network():
    return Sequential(
        conv=Conv2D(1, 2, 3, padding=1, rng=0),
        norm=BatchNorm2D(2),
        block=Residual(Sequential(Conv2D(2, 2, 1, rng=1), ReLU())),
        pool=MaxPool2D(2),
        flatten=Flatten(),
        dense=Dense(8, 3, rng=2),
    )


PARAMS = [
    "conv.weight",
    "conv.bias",
    "norm.weight",
    "norm.bias",
    "block.body.0.weight",
    "block.body.0.bias",
    "dense.weight",
    "dense.bias",
]
BUFFERS = ["norm.running_mean", "norm.running_var"]


def test_names_of_params_and_buffers():
    assert list(network().params) == PARAMS
    assert list(network().buffers) == BUFFERS
    assert list(Dense(2, 1).params) == ["weight", "bias"]
    assert list(Dense(2, 1, bias=False).params) == ["weight"]
    assert ReLU().params == ReLU().buffers == {}
    assert network().parameter_count == 20 + 4 + 6 + 27


def test_params_are_the_arrays_themselves():
    net = network()
    net.params["dense.bias"][...] = 5
    assert net["dense"].params["bias"].tolist() == [5.0, 5.0, 5.0]


def test_grads_have_the_names_of_params():
    net = network()
    y, cache = net.forward(np.ones((2, 1, 4, 4), np.float32), training=True)
    _, grads = net.backward(y, cache)
    assert set(grads) == set(PARAMS)
    assert {name: g.shape for name, g in grads.items()} == {name: a.shape for name, a in net.params.items()}


def test_dtype():
    assert network().dtype == np.float32
    assert network().astype("float64").dtype == np.float64
    assert ReLU().dtype is None


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def test_load():
    net, other = network(), network()
    for array in [*other.params.values(), *other.buffers.values()]:
        array += 1
    kept = net.params["dense.weight"]
    net.load(other.params, other.buffers)
    for mine, theirs in [(net.params, other.params), (net.buffers, other.buffers)]:
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
    assert net.params["dense.weight"] is kept
    assert net.params["dense.weight"] is not other.params["dense.weight"]


def test_load_params_alone_leaves_buffers():
    net = network()
    net.buffers["norm.running_mean"][...] = 3
    net.load(network().params)
    assert net.buffers["norm.running_mean"].tolist() == [3.0, 3.0]


def test_load_keeps_the_dtype():
    net = network()
    net.load(network().astype("float64").params)
    assert net.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "name", "array", "message"),
    [
        ("params", "dense.bias", None, r"parameter names differ: missing \['dense.bias'\], unknown \[\]"),
        ("params", "head.bias", np.ones(3), r"parameter names differ: missing \[\], unknown \['head.bias'\]"),
        ("params", "dense.bias", np.ones(4), r"parameter 'dense.bias' must have shape \(3,\), got \(4,\)"),
        ("params", "dense.bias", np.ones((1, 3)), r"'dense.bias' must have shape \(3,\), got \(1, 3\)"),
        ("buffers", "norm.running_var", None, r"buffer names differ: missing \['norm.running_var'\]"),
        ("buffers", "norm.running_std", np.ones(2), "buffer names differ: .*norm.running_std"),
        ("buffers", "norm.running_var", np.ones(3), "buffer 'norm.running_var' must have shape"),
    ],
)
def test_a_failed_load_changes_nothing(kind, name, array, message):
    net = network()
    before = copies(net.params) | copies(net.buffers)
    new = {k: {n: a + 1 for n, a in getattr(net, k).items()} for k in ("params", "buffers")}
    if array is None:
        del new[kind][name]
    else:
        new[kind][name] = array
    with pytest.raises(ValueError, match=message):
        net.load(new["params"], new["buffers"])
    after = net.params | net.buffers
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_astype_is_a_copy():
    net = network()
    twin = net.astype("float64")
    assert all(array.dtype == np.float64 for array in [*twin.params.values(), *twin.buffers.values()])
    twin.params["dense.bias"][...] = 7
    twin.buffers["norm.running_mean"][...] = 7
    assert net.params["dense.bias"].tolist() == [0.0] * 3
    assert net.buffers["norm.running_mean"].tolist() == [0.0] * 2
    same = net.astype("float32")
    assert same.params["conv.weight"] is not net.params["conv.weight"]


def test_astype_keeps_sharing():
    dense = Dense(2, 2, rng=0)
    twin = Sequential(dense, ReLU(), dense).astype("float64")
    assert twin[0].params["weight"] is twin[2].params["weight"]
    assert list(twin.params) == ["0.weight", "0.bias"]


@pytest.mark.parametrize(("dtype", "got"), [(int, "int64"), ("bool", "bool"), ("floaty", "'floaty'")])
def test_astype_wants_floating_point(dtype, got):
    with pytest.raises(TypeError, match=f"dtype must be a floating point type, got {got}"):
        Dense(1, 1).astype(dtype)


def test_leaves():
    names = ["conv", "norm", "block.body.0", "block.body.1", "block.add", "pool", "flatten", "dense"]
    assert [name for name, _ in network().leaves()] == names
    net = network()
    assert dict(net.leaves())["block.body.0"] is net["block"].children["body"][0]
    dense = Dense(1, 1)
    assert [name for name, _ in dense.leaves("head")] == ["head"]
    assert [name for name, _ in Sequential(dense, dense).leaves()] == ["0", "1"]


def test_walk_carries_a_value_through_every_leaf():
    net, seen = network(), []

    def visit(name, layer, value):
        seen.append(name)
        return layer(value)

    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    assert np.array_equal(net.walk(visit, x), net(x))
    assert seen == [name for name, _ in net.leaves()]
    assert ReLU().walk(lambda name, layer, value: (name, value), 3, "relu") == ("relu", 3)


def test_a_container_walks_with_a_prefix():
    seen = []
    Sequential(a=ReLU(), b=Sequential(ReLU())).walk(lambda name, *_: seen.append(name), None, "net")
    assert seen == ["net.a", "net.b.0"]


def test_repr_of_a_network():
    assert repr(network()) == "\n".join(
        [
            "Sequential(",
            "  conv=Conv2D(1, 2, 3, padding=1),",
            "  norm=BatchNorm2D(2),",
            "  block=Residual(Sequential(",
            "    Conv2D(2, 2, 1),",
            "    ReLU(),",
            "  )),",
            "  pool=MaxPool2D(2),",
            "  flatten=Flatten(),",
            "  dense=Dense(8, 3),",
            ")",
        ]
    )
    assert repr(eval(repr(network()))) == repr(network())


def test_from_config_draws_no_weights():
    twin = Conv2D.from_config(Conv2D(1, 2, 3, padding="same").config())
    assert repr(twin) == "Conv2D(1, 2, 3, padding='same')"
    assert not twin.params["weight"].any()


def test_the_base_says_what_is_missing():
    with pytest.raises(NotImplementedError):
        Layer().forward(np.zeros(1))
    with pytest.raises(NotImplementedError):
        Layer().backward(np.zeros(1), None)


def test_a_pickle_and_a_deep_copy_are_the_same_network():
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    net = network()
    net.class_names, net.input_shape = ("a", "b", "c"), (1, 4, 4)
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert np.array_equal(twin(x), net(x))
        assert (twin.class_names, twin.input_shape) == (("a", "b", "c"), (1, 4, 4))
        assert repr(twin) == repr(net)


@pytest.mark.parametrize("training", [True, False])
def test_four_threads_at_once(training):
    net = Sequential(
        Conv2D(1, 3, 3, rng=0), LeakyReLU(), MaxPool2D(2), Flatten(), BatchNorm1D(12), Dense(12, 2, rng=1)
    ).astype("float64")
    if not training:
        net = Sequential(*net, Dropout(rng=0))
    rng = np.random.default_rng(0)
    jobs = [(rng.normal(size=(3, 1, 6, 6)), rng.normal(size=(3, 2))) for _ in range(4)]

    def work(job):
        x, dy = job
        for _ in range(30):
            y, cache = net.forward(x, training=training)
            dx, grads = net.backward(dy, cache)
        return [y, dx, *(grads[name] for name in net.params)]

    expected = [copy.deepcopy(net) for _ in jobs]
    expected = [
        [y, dx, *(grads[name] for name in net.params)]
        for twin, (x, dy) in zip(expected, jobs, strict=True)
        for y, cache in [twin.forward(x, training=training)]
        for dx, grads in [twin.backward(dy, cache)]
    ]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, jobs))
    for got, wanted in zip(results, expected, strict=True):
        assert all(np.array_equal(g, w) for g, w in zip(got, wanted, strict=True))


def test_a_graph_in_four_threads():
    dense = Dense(3, 3, rng=0, dtype="float64")
    graph = Graph({"a": (dense, "input"), "b": (dense, "a")})
    xs = np.random.default_rng(0).normal(size=(4, 2, 3))

    def work(x):
        for _ in range(50):
            _, cache = graph.forward(x)
            dx, grads = graph.backward(np.ones((2, 3)), cache)
        return dx, grads

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, xs))
    w, b = graph.params["a.weight"], graph.params["a.bias"]
    for x, (dx, grads) in zip(xs, results, strict=True):
        one = np.ones((2, 3))
        np.testing.assert_allclose(dx, one @ w.T @ w.T, rtol=1e-12)
        expected = x.T @ (one @ w.T) + (x @ w + b).T @ one
        np.testing.assert_allclose(grads["a.weight"], expected, rtol=1e-12)


def test_load_takes_lists_and_refuses_other_kinds():
    layer = Dense(1, 1, dtype="float64")
    layer.load({"weight": [[2.0]], "bias": [1]})
    assert layer(np.array([[3.0]])).item() == 7.0
    with pytest.raises(TypeError, match="parameter 'bias' must be float64, got complex128"):
        layer.load({"weight": [[9.0]], "bias": [1j]})
    assert layer.params["weight"].item() == 2.0
