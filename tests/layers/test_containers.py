import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import (
    Add,
    AvgPool2D,
    Concat,
    Container,
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from neocog.layers.base import Field
from neocog.models import tiny_cnn


def scale(factor):
    """Make a layer y = factor x of one feature."""
    dense = Dense(1, 1, bias=False, dtype="float64")
    dense.params["weight"][...] = factor
    return dense


def test_sequential_by_hand():
    # y = 5 * 3 x: x = 2 gives 30; dy = 1: d3 = 5 x = 10, d5 = 3 x = 6, dx = 15
    net = Sequential(scale(3), scale(5))
    y, cache = net.forward(np.array([[2.0]]))
    assert y.tolist() == [[30.0]]
    dx, grads = net.backward(np.array([[1.0]]), cache)
    assert dx.tolist() == [[15.0]]
    assert {name: g.item() for name, g in grads.items()} == {"0.weight": 10.0, "1.weight": 6.0}


def test_residual_by_hand():
    # y = 3 x + x and y = 3 x + 5 x
    x, dy = np.array([[2.0]]), np.array([[1.0]])
    for layer, y, dx in [(Residual(scale(3)), 8.0, 4.0), (Residual(scale(3), scale(5)), 16.0, 8.0)]:
        got, cache = layer.forward(x)
        assert got.item() == y
        gradient, grads = layer.backward(dy, cache)
        assert gradient.item() == dx
        assert {g.item() for g in grads.values()} == {2.0}


def test_graph_by_hand():
    # a = 3 x, b = 5 a, y = a + b + b = 33 x: x = 2 gives 66; d3 = 11 x = 22, d5 = 2 a = 12, dx = 33
    graph = Graph({"a": (scale(3), "input"), "b": (scale(5), "a"), "y": (Add(), "a", "b", "b")})
    y, cache = graph.forward(np.array([[2.0]]))
    assert y.item() == 66.0
    dx, grads = graph.backward(np.array([[1.0]]), cache)
    assert dx.item() == 33.0
    assert {name: g.item() for name, g in grads.items()} == {"a.weight": 22.0, "b.weight": 12.0}


def test_graph_with_two_inputs_by_hand():
    # y = (3 u, v): dy = (1, 7) gives du = 3, dv = 7
    graph = Graph({"a": (scale(3), "u"), "y": (Concat(), "a", "v")}, inputs=("u", "v"))
    y, cache = graph.forward((np.array([[2.0]]), np.array([[4.0]])))
    assert y.tolist() == [[6.0, 4.0]]
    (du, dv), grads = graph.backward(np.array([[1.0, 7.0]]), cache)
    assert (du.item(), dv.item(), grads["a.weight"].item()) == (3.0, 7.0, 2.0)


def test_shared_layer_by_hand():
    # y = w (w x) = 9 * 2; dw = 2 w x = 12, dx = w^2 = 9
    dense = scale(3)
    for net in (
        Sequential(dense, dense),
        Graph({"0": (dense, "input"), "1": (dense, "0")}),
        Sequential(**{"0": dense, "1": Sequential(inner=dense)}),
    ):
        y, cache = net.forward(np.array([[2.0]]))
        assert y.item() == 18.0
        assert list(net.params) == ["0.weight"]
        assert net.parameter_count == 1
        for input_grad in (True, False):
            dx, grads = net.backward(np.array([[1.0]]), cache, input_grad=input_grad)
            assert dx is None or dx.item() == 9.0
            assert {name: g.item() for name, g in grads.items()} == {"0.weight": 12.0}


def test_tied_arrays_are_one_parameter():
    first, second = Dense(2, 2, rng=0), Dense(2, 2, rng=1)
    second.params["weight"] = first.params["weight"]
    net = Sequential(first, second)
    assert list(net.params) == ["0.weight", "0.bias", "1.bias"]


def test_sequential_is_that_of_pytorch(same_as_torch, normal):
    net = Sequential(
        conv=Conv2D(2, 3, 3, padding=1, rng=0),
        relu=ReLU(),
        pool=MaxPool2D(2),
        flatten=Flatten(),
        dense=Dense(12, 2, rng=1),
    )

    def function(p, x):
        x = F.max_pool2d(F.relu(F.conv2d(x, p["conv.weight"], p["conv.bias"], padding=1)), 2)
        return x.flatten(1) @ p["dense.weight"] + p["dense.bias"]

    same_as_torch(net.astype("float64"), function, normal(3, 2, 4, 5))


@pytest.mark.parametrize("as_graph", [True, False])
def test_weight_sharing_is_that_of_pytorch(as_graph, same_as_torch, normal):
    conv = Conv2D(2, 2, 3, padding=1, rng=0, dtype="float64")
    if as_graph:
        net = Graph({"first": (conv, "input"), "tanh": (Tanh(), "first"), "again": (conv, "tanh")})
    else:
        net = Sequential(first=conv, tanh=Tanh(), again=conv)

    def function(p, x):
        w, b = p["first.weight"], p["first.bias"]
        return F.conv2d(F.conv2d(x, w, b, padding=1).tanh(), w, b, padding=1)

    same_as_torch(net, function, normal(2, 2, 4, 4))


def test_graph_is_that_of_pytorch(same_as_torch, normal):
    graph = Graph(
        {
            "stem": (Conv2D(1, 2, 3, padding=1, rng=0), "image"),
            "gate": (Sigmoid(), "stem"),
            "both": (Concat(), "stem", "gate", "mask"),
            "head": (Conv2D(5, 2, 1, rng=1), "both"),
            "sum": (Add(), "head", "stem"),
        },
        inputs=("image", "mask"),
    ).astype("float64")

    def function(p, image, mask):
        stem = F.conv2d(image, p["stem.weight"], p["stem.bias"], padding=1)
        both = F.torch.cat([stem, stem.sigmoid(), mask], 1)
        return F.conv2d(both, p["head.weight"], p["head.bias"]) + stem

    same_as_torch(graph, function, normal(2, 1, 4, 4), normal(2, 1, 4, 4))


def test_residual_is_that_of_pytorch(same_as_torch, normal):
    block = Residual(
        Sequential(Conv2D(2, 3, 3, stride=2, padding=1, rng=0), ReLU()), Conv2D(2, 3, 1, stride=2, rng=1)
    ).astype("float64")

    def function(p, x):
        body = F.conv2d(x, p["body.0.weight"], p["body.0.bias"], stride=2, padding=1).relu()
        return body + F.conv2d(x, p["shortcut.weight"], p["shortcut.bias"], stride=2)

    same_as_torch(block, function, normal(2, 2, 5, 5))


@pytest.mark.parametrize(
    "net",
    [
        Sequential(ReLU(), scale(3), ReLU()),
        Sequential(Sequential(ReLU()), ReLU()),
        Graph({"relu": (ReLU(), "input"), "dense": (scale(3), "relu")}),
        Residual(scale(3), Sequential(ReLU())),
        Residual(ReLU()),
        Sequential(Residual(ReLU()), scale(3)),
    ],
)
def test_the_input_gradient_is_optional(net):
    _, cache = net.forward(np.array([[2.0]]))
    _, expected = net.backward(np.array([[1.0]]), cache)
    dx, grads = net.backward(np.array([[1.0]]), cache, input_grad=False)
    assert dx is None
    assert {name: g.item() for name, g in grads.items()} == {name: g.item() for name, g in expected.items()}


def test_an_input_that_nobody_reads():
    with pytest.raises(ValueError, match="'b'"):
        Graph({"relu": (ReLU(), "a")}, inputs=("a", "b"))


@pytest.mark.parametrize("make", [Add, Concat])
def test_a_merge_of_one_source_is_the_identity_or_an_error(make):
    x = np.arange(6.0).reshape(2, 3)
    try:
        y = Graph({"merge": (make(), "input")})(x)
    except ValueError:
        return
    assert np.array_equal(y, x)


def test_sequential_names():
    assert list(Sequential(ReLU(), Tanh()).children) == ["0", "1"]
    assert list(Sequential(ReLU(), act=Tanh()).children) == ["0", "act"]
    assert list(Sequential(Dense(1, 1), head=Dense(1, 1)).params) == [
        "0.weight",
        "0.bias",
        "head.weight",
        "head.bias",
    ]


def test_sequential_indexing():
    a, b, c = ReLU(), Tanh(), Sigmoid()
    net = Sequential(a, b, last=c)
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is net["0"] is net[-3] is a
    assert net["last"] is net[2] is net[-1] is c
    with pytest.raises(KeyError, match=r"no layer 'first'; the layers are \['0', '1', 'last'\]"):
        net["first"]
    with pytest.raises(IndexError):
        net[3]


def test_sequential_slicing_shares_layers_and_keeps_names():
    net = tiny_cnn()
    body, head = net[:4], net[4:]
    assert list(body.children) == ["conv1", "relu1", "pool1", "flatten"]
    assert list(head.params) == ["dense.weight", "dense.bias"]
    assert head["dense"] is net["dense"]
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    assert np.array_equal(head(body(x)), net(x))
    assert list(net[::-2].children) == ["dense", "pool1", "conv1"]
    assert list(Sequential(ReLU(), Tanh())[1:].children) == ["1"]


def test_an_empty_sequential_is_the_identity():
    net = Sequential()
    x = np.array([[1.0]])
    assert np.array_equal(net(x), x)
    assert net.backward(x, net.forward(x)[1]) == (x, {})
    assert (repr(net), len(net), net.parameter_count) == ("Sequential()", 0, 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sequential(ReLU), TypeError, "layer '0' must be a neocog Layer, got <class"),
        (
            lambda: Sequential(ReLU(), act=np.tanh),
            TypeError,
            "layer 'act' must be a neocog Layer, got <ufunc",
        ),
        (lambda: Sequential([ReLU()]), TypeError, r"layer '0' must be a neocog Layer, got \[ReLU\(\)\]"),
        (lambda: Sequential(**{"a.b": ReLU()}), ValueError, "may not be empty or contain a dot, got 'a.b'"),
        (lambda: Sequential(**{"": ReLU()}), ValueError, "may not be empty or contain a dot, got ''"),
        (lambda: Sequential(ReLU(), **{"0": Tanh()}), ValueError, "may not take the number of another"),
        (lambda: Residual(None), TypeError, "layer 'body' must be a neocog Layer, got None"),
        (lambda: Residual(ReLU(), "x"), TypeError, "layer 'shortcut' must be a neocog Layer, got 'x'"),
        (lambda: Graph({}), ValueError, "nodes must not be empty"),
        (lambda: Graph({"a": (3, "input")}), TypeError, "layer 'a' must be a neocog Layer, got 3"),
        (lambda: Graph({"a": (ReLU(),)}), ValueError, r"node 'a' must have sources among .*, got \(\)"),
        (lambda: Graph({"a": (ReLU(), "x")}), ValueError, r"\['a', 'input'\], got \('x',\)"),
        (lambda: Graph({"a": (ReLU(), "input")}, output="b"), ValueError, r"nodes \['a'\], got 'b'"),
        (lambda: Graph({"a": (ReLU(), "input")}, inputs=()), ValueError, "must be unique names"),
        (lambda: Graph({"a": (ReLU(), "x")}, inputs=("x", "x")), ValueError, "must be unique names"),
        (lambda: Graph({"input": (ReLU(), "input")}), ValueError, "must be unique names that no node has"),
        (lambda: Graph({"a.b": (ReLU(), "input")}), ValueError, "contain a dot, got 'a.b'"),
        (lambda: Graph({"a": (Add(), "input", "a")}), ValueError, "nodes must not form a cycle, got a -> a"),
        (
            lambda: Graph({"a": (Add(), "input", "b"), "b": (ReLU(), "a")}),
            ValueError,
            "nodes must not form a cycle, got (a -> b -> a|b -> a -> b)",
        ),
        (
            lambda: Graph({"dead": (ReLU(), "input"), "out": (Tanh(), "input")}),
            ValueError,
            r"nodes or inputs \['dead'\] do not lead to the output 'out'",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (tiny_cnn(), (1, 1, 10, 8), r"layer 'dense': Dense needs inputs of shape \(N, 27\), got .*\(1, 36\)"),
        (tiny_cnn(), (1, 3, 8, 8), "layer 'conv1': Conv2D needs 1 input channels, got 3"),
        (Sequential(a=Sequential(b=MaxPool2D(3))), (1, 1, 2, 2), "layer 'a': layer 'b': MaxPool2D's window"),
        (
            Residual(Conv2D(1, 1, 3)),
            (1, 1, 4, 4),
            "layer 'add': Add needs inputs whose shapes broadcast",
        ),
    ],
)
def test_a_misfit_names_the_layer(net, shape, message):
    with pytest.raises(ValueError, match=message):
        net.output_shape(shape)


def test_a_residual_whose_paths_differ():
    with pytest.raises(
        ValueError, match=r"Add needs inputs whose shapes broadcast, got \[\(1, 1, 2, 2\), \(1, 1, 4, 4\)\]"
    ):
        Residual(Conv2D(1, 1, 3)).forward(np.zeros((1, 1, 4, 4)))


def test_nodes_may_come_in_any_order():
    nodes = {"out": (Add(), "b", "a"), "b": (Tanh(), "a"), "a": (ReLU(), "input")}
    graph = Graph(nodes, output="out")
    x = np.array([[0.5, -2.0]])
    np.testing.assert_allclose(graph(x), [[0.5 + np.tanh(0.5), 0.0]], rtol=1e-15)
    assert set(graph.children) == {"a", "b", "out"}


def test_output_shape_and_flops():
    block = Residual(Conv2D(2, 2, 3, padding=1))
    assert block.output_shape((4, 2, 8, 8)) == (4, 2, 8, 8)
    assert block.flops((1, 2, 8, 8)) == 2 * 64 * 36 + 128
    join = Graph({"join": (Concat(), "a", "b")}, inputs=("a", "b"))
    assert join.output_shape(((2, 3, 4, 4), (2, 1, 4, 4))) == (2, 4, 4, 4)
    assert tiny_cnn().flops((5, 1, 8, 8)) == 5 * 2322


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (Residual(Sequential(Conv2D(1, 1, 3, padding=1), Conv2D(1, 1, 3, padding=1))), (5, 5)),
        (Sequential(Conv2D(1, 1, 3), Residual(Conv2D(1, 1, 3, padding=1)), AvgPool2D(2)), (6, 6)),
        (Graph({"w": (Conv2D(1, 1, (1, 7)), "input"), "h": (Conv2D(1, 1, (7, 1)), "w")}), (7, 7)),
        (Sequential(GlobalAvgPool2D(), Dense(1, 1)), (np.inf, np.inf)),
        (
            # VGG: 3, 5 | pool 6 | 10, 14 | pool 16
            Sequential(*[Conv2D(1, 1, 3), Conv2D(1, 1, 3), MaxPool2D(2)] * 2),
            (16, 16),
        ),
    ],
)
def test_receptive_field(net, size):
    assert net.receptive_field(Field()).size == size


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (Sequential(ReLU(), act=Tanh()), "Sequential(\n  ReLU(),\n  act=Tanh(),\n)"),
        (Residual(ReLU()), "Residual(ReLU())"),
        (Residual(ReLU(), Tanh()), "Residual(ReLU(), shortcut=Tanh())"),
        (Graph({"a": (ReLU(), "input")}), "Graph({\n  'a': (ReLU(), 'input'),\n})"),
        (
            Graph({"a": (Add(), "u", "v")}, inputs=("u", "v")),
            "Graph({\n  'a': (Add(), 'u', 'v'),\n}, inputs=('u', 'v'))",
        ),
    ],
)
def test_repr(net, text):
    assert repr(net) == text
    assert repr(eval(text)) == text


def test_predictions():
    # y = 3 x and y = -x on one feature each
    net = Sequential(Dense(1, 2, bias=False, dtype="float64"))
    net.params["0.weight"][...] = [[np.log(3), 0]]
    x = np.array([[1.0], [-1.0], [2.0]])
    np.testing.assert_allclose(net.predict_logits(x)[:, 0], np.log(3) * x[:, 0], rtol=1e-15)
    np.testing.assert_allclose(net.predict_proba(x), [[0.75, 0.25], [0.25, 0.75], [0.9, 0.1]], rtol=1e-14)
    assert net.predict(x).tolist() == [0, 1, 0]
    for batch_size in (1, 2, 3, 100):
        assert net.predict(x, batch_size=batch_size).tolist() == [0, 1, 0]


def test_predictions_are_in_the_dtype_of_the_network_and_leave_the_images_alone():
    images = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    images.flags.writeable = False
    assert tiny_cnn(dtype="float32").predict_proba(images).dtype == np.float32
    assert tiny_cnn().predict_proba(images.tolist()).dtype == np.float64


@pytest.mark.parametrize("method", ["predict_logits", "predict_proba", "predict"])
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            np.full((2, 1, 8, 8), np.nan),
            ValueError,
            r"x must be finite, got nan at index \(0, 0, 0, 0\)",
        ),
        (np.full((2, 1, 8, 8), -np.inf), ValueError, "x must be finite, got -inf"),
        (np.zeros((2, 1, 8, 8), np.uint8), TypeError, "x must be floating point, got uint8; .* x / 255"),
        (np.zeros((0, 1, 8, 8)), ValueError, "x must not be empty"),
        (np.zeros((1, 8, 8)), ValueError, r"images of shape \(N, .*\), got shape \(1, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), ValueError, "needs 1 input channels, got 3"),
        (np.zeros((2, 1, 10, 10)), ValueError, r"Dense needs inputs of shape \(N, 27\)"),
    ],
)
def test_bad_images(method, images, error, message):
    with pytest.raises(error, match=message):
        getattr(tiny_cnn(), method)(images)


def test_the_index_of_a_bad_pixel_is_that_in_the_whole_array():
    images = np.zeros((5, 1, 8, 8))
    images[4, 0, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"got nan at index \(4, 0, 2, 3\)"):
        tiny_cnn().predict(images, batch_size=2)


@pytest.mark.parametrize(("batch_size", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)])
def test_bad_batch_size(batch_size, error):
    with pytest.raises(error, match="batch_size must be"):
        tiny_cnn().predict(np.zeros((2, 1, 8, 8)), batch_size=batch_size)


def test_a_layer_can_be_replaced():
    net = tiny_cnn()
    before = net(np.ones((1, 1, 8, 8)))
    net["dense"] = Dense(27, 5, rng=0, dtype="float64")
    assert net(np.ones((1, 1, 8, 8))).shape == (1, 5)
    assert net.params["dense.weight"].shape == (27, 5)
    z, cache = net.forward(np.ones((1, 1, 8, 8)))
    assert set(net.backward(z, cache)[1]) == set(net.params)
    net[-1] = Dense(27, 3, rng=43, dtype="float64")
    assert np.array_equal(net(np.ones((1, 1, 8, 8))), before)
    with pytest.raises(KeyError, match="no layer 'head'"):
        net["head"] = ReLU()
    with pytest.raises(TypeError, match="must be a neocog Layer"):
        net["dense"] = 3


def test_a_layer_within_layers_is_named_by_dots_and_replaced_there():
    inner = Sequential(conv=Conv2D(1, 1, 3, padding=1, dtype="float64"), relu=ReLU())
    net = Sequential(block=Residual(inner), end=Graph({"a": (Tanh(), "input"), "b": (Add(), "a", "input")}))
    assert net["block.body.conv"] is inner["conv"]
    x = np.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    net["block.body.conv"] = other = Conv2D(1, 1, 1, rng=3, dtype="float64")
    net["end.a"] = LeakyReLU(1.0)
    between = x + np.maximum(x * other.params["weight"][0, 0, 0, 0] + other.params["bias"][0], 0)
    np.testing.assert_allclose(net(x), 2 * between, rtol=1e-15)
    assert net.params["block.body.conv.weight"] is other.params["weight"]
    y, cache = net.forward(x)
    assert set(net.backward(y, cache)[1]) == set(net.params)
    net["block.body"] = LeakyReLU(2.0)
    assert net["block"].config() == {"body": net["block.body"], "shortcut": None}
    with pytest.raises(ValueError, match=r"layer 'end.b' has several inputs, and ReLU takes one"):
        net["end.b"] = ReLU()
    with pytest.raises(KeyError, match=r"no layer 'a.b'; the layers are \['a', 'b'\]"):
        net["end.a.b"]


def test_children_cannot_be_changed_behind_its_back():
    with pytest.raises(TypeError):
        tiny_cnn().children["more"] = ReLU()


def test_repr_of_a_slice_can_be_evaluated():
    net = Sequential(ReLU(), Tanh())[1:]
    assert list(eval(repr(net)).children) == ["1"]


def test_summary_of_several_inputs(capsys):
    graph = Graph({"add": (Add(), "a", "b")}, inputs=("a", "b"))
    summary = graph.summary(((1, 2, 4, 4), (1, 2, 4, 4)))
    assert summary.rows[0].output_shape == (1, 2, 4, 4)
    assert "1 x 2 x 4 x 4, 1 x 2 x 4 x 4" in capsys.readouterr().out
    assert summary.flops == 32


def test_two_sources_of_a_layer_that_takes_one():
    with pytest.raises(ValueError, match="node 'a' must have one source, as ReLU takes one input"):
        Graph({"a": (ReLU(), "x", "y")}, inputs=("x", "y"))


def test_a_network_without_its_softmax():
    x = np.random.default_rng(0).normal(size=(3, 4))
    body = Sequential(dense=Dense(4, 3, rng=0, dtype="float64"))
    chain = Sequential(body=body, softmax=Softmax())
    joined = {"body": (body, "input"), "sum": (Add(), "body", "body")}
    graph = Graph(joined | {"p": (LogSoftmax(), "sum")}, output="p")
    inside = Graph({"head": (chain, "input")})
    for network, logits in (
        (chain, body(x)),
        (Sequential(first=chain), body(x)),
        (graph, 2 * body(x)),
        (Sequential(graph), 2 * body(x)),
        (inside, body(x)),
        (Graph({"twice": (Sequential(Sequential(chain)), "input")}), body(x)),
    ):
        network.class_names, network.input_shape = ("a", "b", "c"), (4, 1, 1)
        before = repr(network)
        without = network.without_softmax()
        np.testing.assert_array_equal(without(x), logits)
        assert (without.class_names, without.input_shape) == (("a", "b", "c"), (4, 1, 1))
        assert list(without.params) == list(network.params)
        assert all(without.params[name] is array for name, array in network.params.items())
        assert repr(network) == before, "which is left as it is"
        assert without.without_softmax() is without
    several = Graph({"add": (Add(), "a", "b"), "p": (Softmax(), "add")}, inputs=("a", "b"))
    np.testing.assert_array_equal(several.without_softmax()((x, x)), 2 * x)
    assert list(Sequential(Softmax()).without_softmax()) == []
    assert list(Graph({"p": (Softmax(), "input")}).without_softmax()) == []


def test_a_container_of_ones_own_does_not_say_what_it_is_without_its_softmax():
    class Mine(Container):
        pass

    with pytest.raises(TypeError, match="Mine does not say what it is without its last layer, 'p'"):
        Sequential(Mine({"p": Softmax()})).without_softmax()


def test_a_network_that_ends_in_softmax_has_probabilities_already():
    x = np.random.default_rng(0).normal(size=(3, 1, 2, 2))
    body = Sequential(Flatten(), Dense(4, 3, rng=0, dtype="float64"))
    ends = [Sequential(body, Softmax()), Graph({"body": (body, "input"), "p": (Softmax(), "body")})]
    for network in (*ends, Sequential(ends[1]), Sequential(body, LogSoftmax())):
        np.testing.assert_allclose(network.predict_proba(x), body.predict_proba(x), atol=1e-15)
        fast = network.for_inference()
        np.testing.assert_allclose(fast.predict_proba(x), body.predict_proba(x), atol=1e-15)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((1, 8, 8), r"this is one image: pass x\[None\]"),
        ((8, 8), r"this is one image: pass x\[None, None\]"),
        ((64,), r"this is one image: pass x.reshape\(1, 1, 8, 8\)"),
        ((5, 8, 8), r"the axis of the channels is missing: pass x\[:, None\]"),
        ((5, 8, 8, 1), r"the channels come last: pass x.transpose\(0, 3, 1, 2\)"),
    ],
)
def test_one_image_is_no_batch(shape, hint):
    network = tiny_cnn()
    with pytest.raises(ValueError, match=rf"x must be images of shape \(N, 1, 8, 8\), got .*; {hint}"):
        network.predict(np.zeros(shape))


def test_a_network_that_takes_one_image_as_a_batch_of_one_still_does():
    network = Sequential(Flatten(), Dense(64, 2, rng=0))
    network.input_shape = (1, 8, 8)
    x = np.random.default_rng(0).random((1, 8, 8))
    np.testing.assert_array_equal(network.predict_logits(x), network.predict_logits(x[None]))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8), r"got shape \(8, 8\); for one grey image pass x\[None, None\]"),
        ((3, 8, 8), r"for one image pass x\[None\], for grey images without a channel axis x\[:, None\]"),
        ((2, 8, 8, 1), r"got 8 in shape \(2, 8, 8, 1\); if the channels come last, pass x.transpose"),
    ],
)
def test_layers_say_what_makes_a_batch(shape, message):
    with pytest.raises(ValueError, match=message):
        tiny_cnn()(np.zeros(shape))
