import numpy as np
import pytest

from neocog import figures, models
from neocog.figures.network_plan import main_path
from neocog.initializers import zeros
from neocog.layers import Add, BatchNorm2D, Concat, Conv2D, Dense, Flatten, Graph, ReLU, Residual, Sequential

RNG = np.random.default_rng(0)


def rows(figure):
    """(name, output shape, parameters) of each box but those of input and output."""
    return [tuple(row) for row in figure.data[0].customdata if row[0] not in ("input", "output")]


def arcs(figure):
    """The shortcuts' paths: lines with rounded corners."""
    return [s.path for s in figure.layout.shapes if s.layer == "below" and "Q" in s.path]


def conv(channels, into, stride=1):
    return Conv2D(channels, into, 3, stride=stride, padding=1, rng=RNG)


def test_tiny_cnn_has_a_box_a_layer(words):
    figure = figures.network_diagram(models.tiny_cnn())
    assert rows(figure) == [
        ("conv1", "3 × 6 × 6", 30),  # 3 (3 * 3 + 1)
        ("relu1", "3 × 6 × 6", 0),
        ("pool1", "3 × 3 × 3", 0),
        ("flatten", "27", 0),
        ("dense", "3", 84),  # 3 (27 + 1)
    ]
    written = words(figure)
    assert {"input  1 × 8 × 8", "3 × 6 × 6", "27", "output  3"} <= set(written)
    assert "<b>conv1</b>  Conv2D 3 × 3" in written
    assert "84 parameters" in written
    assert figure.layout.title.subtitle.text == "114 parameters"
    assert not arcs(figure)
    y = figure.data[0].y
    assert list(y[1:6]) == sorted(y[1:6])


def test_the_shape_may_be_given_with_or_without_the_number_of_images():
    network = Sequential(conv1=conv(1, 2), relu=ReLU())
    found = [rows(figures.network_diagram(network, shape)) for shape in ((1, 5, 5), (7, 1, 5, 5))]
    assert found[0] == found[1] == [("conv1", "2 × 5 × 5", 20), ("relu", "2 × 5 × 5", 0)]
    dense = Dense(4, 2, rng=0)
    assert rows(figures.network_diagram(dense, (4,))) == [("Dense", "2", 10)]
    assert rows(figures.network_diagram(dense, (3, 4))) == [("Dense", "2", 10)]


def test_a_residual_block_has_its_layers_and_an_arc():
    block = Residual(Sequential(conv1=conv(4, 4), relu=ReLU(), conv2=conv(4, 4)))
    figure = figures.network_diagram(block, (4, 8, 8))
    assert rows(figure) == [
        ("body.conv1", "4 × 8 × 8", 148),  # 4 (9 * 4 + 1)
        ("body.relu", "4 × 8 × 8", 0),
        ("body.conv2", "4 × 8 × 8", 148),
        ("add", "4 × 8 × 8", 0),
    ]
    assert len(arcs(figure)) == 1


def test_layers_on_a_shortcut_have_a_box_on_the_arc():
    block = Residual(conv(2, 4, stride=2), Conv2D(2, 4, 1, stride=2, rng=0))
    figure = figures.network_diagram(block, (2, 8, 8))
    assert ("shortcut", "4 × 4 × 4", 12) in rows(figure)  # 4 (2 + 1)
    assert len(arcs(figure)) == 1
    x = dict(zip([row[0] for row in figure.data[0].customdata], figure.data[0].x, strict=True))
    assert x["shortcut"] > x["body"] == x["add"]


def test_the_boxes_of_a_larger_network_hold_all_parameters():
    for build in (models.alexnet, models.vgg16, models.resnet18, models.resnet50, models.lenet5):
        network = build(init=zeros)
        figure = figures.network_diagram(network)
        assert sum(row[2] for row in rows(figure)) == network.parameter_count
        assert len(rows(figure)) <= 20


@pytest.mark.parametrize(
    "network",
    [
        models.tiny_mlp(),
        models.digits_cnn(),
        models.small_cnn(),
        models.conv_net(),
        models.lenet5_1998(),
        models.alexnet_one_tower(init=zeros),
        models.resnet_cifar(8, init=zeros),
    ],
)
def test_every_model_can_be_drawn(network):
    figure = figures.network_diagram(network)
    assert sum(row[2] for row in rows(figure)) == network.parameter_count


def test_activations_share_a_box_where_there_are_many_layers(words):
    layers = {}
    for k in range(4):
        layers |= {f"conv{k}": conv(2, 2), f"norm{k}": BatchNorm2D(2), f"relu{k}": ReLU()}
    network = Sequential(**layers, flatten=Flatten(), dense=Dense(32, 3, rng=0))
    fine = figures.network_diagram(network, (2, 4, 4))
    assert len(rows(fine)) == 14
    coarse = figures.network_diagram(network, (2, 4, 4), most=13)
    assert [row[0] for row in rows(coarse)] == ["conv0", "conv1", "conv2", "conv3", "flatten", "dense"]
    assert rows(coarse)[0] == ("conv0", "2 × 4 × 4", 42)  # 2 (9 * 2 + 1), and 2 + 2 of the norm
    assert words(coarse).count("BatchNorm, ReLU · 42 parameters") == 4
    joined = figures.network_diagram(network, (2, 4, 4), most=5)
    assert rows(joined)[0] == ("conv0 to conv3  × 4", "2 × 4 × 4", 168)
    assert [row[0] for row in rows(joined)[1:]] == ["flatten", "dense"]


def test_a_layer_does_not_share_the_box_that_a_shortcut_leaves():
    graph = Graph({"relu": (ReLU(), "input"), "conv": (conv(2, 2), "relu"), "add": (Add(), "conv", "input")})
    network = Sequential(stem=conv(1, 2), block=graph, relu=ReLU())
    figure = figures.network_diagram(network, (1, 4, 4), most=4)
    assert [row[0] for row in rows(figure)] == ["stem", "block.relu", "block.conv", "block.add"]
    assert len(arcs(figure)) == 1


def test_blocks_become_boxes_and_stages_become_one(words):
    network = models.resnet_cifar(20, init=zeros)
    blocks = figures.network_diagram(network)
    assert [row[0] for row in rows(blocks)] == [
        "conv1", "layer1.0 to 2  × 3", "layer2.0", "layer2.1 to 2  × 2", "layer3.0", "layer3.1 to 2  × 2",
        "avgpool", "fc", "downsample", "downsample",
    ]  # fmt: skip
    assert rows(blocks)[1] == ("layer1.0 to 2  × 3", "16 × 32 × 32", 14016)  # 3 * 2 (9 * 16 * 16 + 2 * 16)
    assert len(arcs(blocks)) == 5
    assert words(blocks).count("+") == 5
    stages = figures.network_diagram(network, most=9)
    assert [row[0] for row in rows(stages)][:6] == [
        "conv1", "layer1.0 to 2  × 3", "layer2.0 to 2  × 3", "layer3.0 to 2  × 3", "avgpool", "fc",
    ]  # fmt: skip
    assert len(arcs(stages)) == 3
    assert sum(row[2] for row in rows(stages)) == 269722
    assert words(stages).count("in the first block") == 2


def test_the_shortcuts_of_a_graph():
    nodes = {
        "a": (ReLU(), "input"),
        "b": (ReLU(), "a"),
        "c": (ReLU(), "b"),
        "end": (Add(), "c", "input", "b"),
    }
    assert main_path(Graph(nodes)) == (["a", "b", "c", "end"], [("input", "end", []), ("b", "end", [])])
    figure = figures.network_diagram(Graph(nodes), (2, 2, 2))
    assert len(set(arcs(figure))) == 2


def test_a_graph_of_many_ways_is_one_box():
    nodes = {name: (conv(2, 2), "input") for name in "abc"}
    graph = Graph(nodes | {"join": (Concat(), "a", "b", "c")})
    assert main_path(graph) is None
    network = Sequential(ways=graph, relu=ReLU())
    assert rows(figures.network_diagram(network, (2, 4, 4))) == [
        ("ways", "6 × 4 × 4", 114),  # 3 * 2 (9 * 2 + 1)
        ("relu", "6 × 4 × 4", 0),
    ]


def test_a_shared_layer_is_counted_once():
    same = conv(2, 2)
    assert [row[2] for row in rows(figures.network_diagram(Sequential(a=same, b=same), (2, 4, 4)))] == [38, 0]


@pytest.mark.parametrize(
    ("network", "shape", "error", "message"),
    [
        ("tiny", None, TypeError, "network must be a neocog Layer, got str"),
        (Sequential(relu=ReLU()), None, ValueError, "input_shape must be given"),
        (ReLU(), 5, ValueError, r"input_shape must be \(channels, height, width\) or \(features,\), got 5"),
        (ReLU(), (1, 0, 2), ValueError, "input_shape must be at least 1, got 0"),
        (Add(), (1, 2, 2), TypeError, "a network of several inputs cannot be drawn"),
        (models.tiny_cnn(), (1, 5, 5), ValueError, "'dense'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(network, shape, error, message):
    with pytest.raises(error, match=message):
        figures.network_diagram(network, shape)
