import numpy as np
import pytest

from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Clip,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    Hardswish,
    LeakyReLU,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Multiply,
    PadChannels,
    ReLU,
    Rescale,
    Reshape,
    Residual,
    Scale,
    ScaledTanh,
    Sequential,
    Sigmoid,
    SiLU,
    Sum,
    Tanh,
)
from neocog.models import digits_cnn, tiny_cnn


def with_norms():
    return Sequential(
        Conv2D(1, 8, 3, padding=1, bias=False, rng=0),
        BatchNorm2D(8),
        ReLU(),
        MaxPool2D(2),
        Conv2D(8, 6, 3, padding=1, stride=2, rng=1),
        Tanh(),
        AvgPool2D(2),
        Flatten(),
        Dense(6, 5, rng=2),
        BatchNorm1D(5),
        GELU(),
        Dense(5, 4, rng=3),
    )


def residual():
    block = Sequential(
        Conv2D(8, 8, 3, padding=1, rng=1),
        BatchNorm2D(8),
        ReLU(),
        Conv2D(8, 8, 3, padding=1, groups=2, rng=2),
        BatchNorm2D(8),
    )
    narrowing = Sequential(
        Conv2D(8, 16, 3, padding=1, stride=2, rng=3),
        Sigmoid(),
        Conv2D(16, 16, 3, dilation=2, padding=2, rng=4),
    )
    return Sequential(
        Conv2D(3, 8, 3, padding=1, rng=0),
        Residual(block),
        ReLU(),
        Residual(narrowing, Conv2D(8, 16, 1, stride=2, rng=5)),
        LeakyReLU(0.1),
        GlobalAvgPool2D(),
        Dense(16, 4, rng=6),
    )


def branching():
    """A value with three readers, a sum of three, channels side by side, overlapping windows."""
    return Graph(
        {
            "stem": (Conv2D(2, 4, 3, stride=2, padding=2, rng=0), "input"),
            "a": (Conv2D(4, 4, (1, 3), padding=(0, 1), rng=1), "stem"),
            "b": (MaxPool2D(3, 1, padding=1), "stem"),
            "c": (AvgPool2D((3, 1), 1, padding=(1, 0), count_include_pad=False), "stem"),
            "joined": (Concat(), "a", "b", "c"),
            "curved": (ScaledTanh(), "joined"),
            "wider": (PadChannels(2), "curved"),
            "smooth": (GELU(approximate="tanh"), "wider"),
            "mean": (GlobalAvgPool2D(), "smooth"),
            "head": (Dense(14, 3, rng=2), "mean"),
        }
    )


def dropping():
    return Sequential(
        Conv2D(1, 4, 3, rng=0),
        Dropout(0.3, rng=5),
        ReLU(),
        Flatten(),
        Dropout(0.5, rng=3),
        Dense(144, 40, rng=1),
        ReLU(),
        Dense(40, 4, rng=2),
    )


def wide():
    """Dense layers whose products run along the outputs."""
    return Sequential(Flatten(), Dense(64, 500, rng=0), ReLU(), Dense(500, 400, rng=1), Dense(400, 4, rng=2))


def many_channels():
    """Convolutions that Winograd's method takes in float32."""
    return Sequential(
        Conv2D(2, 32, 3, padding=1, rng=0),
        ReLU(),
        Conv2D(32, 40, 3, padding=1, rng=1),
        BatchNorm2D(40),
        ReLU(),
        Conv2D(40, 32, 3, rng=2),
        GlobalAvgPool2D(),
        Dense(32, 4, rng=3),
    )


def many_channels_uneven():
    """Padding on one side, where Winograd's method could be taken."""
    return Sequential(
        Conv2D(2, 32, 3, padding=((2, 0), (0, 1)), rng=0),
        ReLU(),
        Conv2D(32, 40, 3, padding=((0, 1), (2, 1)), rng=1),
        GlobalMaxPool2D(),
        Dense(40, 4, rng=3),
    )


def narrow():
    """Maps so narrow that they are taken as one long row."""
    return Sequential(
        Conv2D(3, 8, 3, padding=1, stride=2, rng=0),
        BatchNorm2D(8),
        ReLU(),
        Residual(
            Sequential(
                Conv2D(8, 4, 1, rng=1), ReLU(), Conv2D(4, 4, 3, padding=1, rng=2), Conv2D(4, 8, 1, rng=3)
            )
        ),
        ReLU(),
        MaxPool2D(3, 2, padding=1),
        Flatten(),
        Dense(72, 4, rng=4),
    )


def uneven():
    """Padding on one side, windows deep in the padding, sizes rounded up, means of what lies inside."""
    return Sequential(
        Conv2D(2, 4, 3, padding=((0, 2), (1, 0)), rng=0),
        ReLU(),
        MaxPool2D(3, 1, ((2, 0), (1, 2))),
        Conv2D(4, 4, (2, 3), (1, 2), padding=((3, 0), (0, 1)), rng=1),
        MaxPool2D(2, 2, ((1, 0), (0, 0)), ceil_mode=True),
        AvgPool2D(3, 2, ((2, 0), (1, 1))),
        Reshape((0, 2, -1, 3)),
        AvgPool2D(2, 1, 1, count_include_pad=False, ceil_mode=True),
        AvgPool2D(2, ceil_mode=True),
        Reshape((0, -1)),
        Dense(12, 3, rng=2),
    )


def best():
    """The largest of each map, after a ReLU that shares the way back, and of maps that two layers read."""
    return Graph(
        {
            "stem": (Conv2D(1, 6, 3, rng=0), "input"),
            "relu": (ReLU(), "stem"),
            "best": (GlobalMaxPool2D(), "relu"),
            "conv": (Conv2D(6, 3, 3, rng=1), "relu"),
            "again": (ReLU(), "conv"),
            "only": (GlobalMaxPool2D(), "again"),
            "join": (Concat(), "best", "only"),
            "head": (Dense(9, 3, rng=2), "join"),
        }
    )


def gated():
    """Gates of channels (squeeze and excitation) and of pixels, layer scale, sums of several shapes."""
    return Graph(
        {
            "stem": (Conv2D(2, 6, 3, padding=1, rng=0), "input"),
            "squeeze": (Mean((2, 3), keepdims=True), "stem"),
            "fc1": (Conv2D(6, 3, 1, rng=1), "squeeze"),
            "relu": (ReLU(), "fc1"),
            "fc2": (Conv2D(3, 6, 1, rng=2), "relu"),
            "gate": (Sigmoid(), "fc2"),
            "excited": (Multiply(), "stem", "gate"),
            "mean": (Mean(1, keepdims=True), "excited"),
            "pixels": (Conv2D(1, 1, 3, padding=1, rng=3), "mean"),
            "attended": (Multiply(), "pixels", "excited"),
            "conv": (Conv2D(6, 6, 3, padding=1, groups=6, rng=4), "attended"),
            "scaled": (Scale((6, 1, 1), 0.5), "conv"),
            "residual": (Add(), "scaled", "stem", "gate"),
            "bend": (ReLU(), "residual"),
            "rows": (Sum(3, keepdims=True), "bend"),
            "most": (Maximum(), "bend", "attended"),
            "all": (Multiply(), "most", "gate", "rows"),
            "shrunk": (Rescale(0.1, 0.5), "all"),
            "tied": (Minimum(), "shrunk", "shrunk"),
            "pool": (Mean((2, 3)), "tied"),
            "head": (Dense(6, 3, rng=5), "pool"),
        }
    )


def clipping():
    """Clips after all that they are fused into, each at two bounds that matter, and before pooling."""
    return Graph(
        {
            "stem": (Conv2D(2, 6, 3, padding=1, rng=0), "input"),
            "after conv": (Clip(-0.5, 1), "stem"),
            "pool": (MaxPool2D(2), "after conv"),
            "depthwise": (Conv2D(6, 12, 3, padding=1, groups=6, bias=False, rng=1), "pool"),
            "norm": (BatchNorm2D(12), "depthwise"),
            "after norm": (Clip(-0.3, 0.6), "norm"),
            "mixed": (Conv2D(12, 12, 1, rng=2), "after norm"),
            "strided": (Conv2D(12, 12, 3, 2, padding=1, groups=12, rng=3), "mixed"),
            "grouped": (Conv2D(12, 12, 1, 2, groups=3, rng=4), "mixed"),
            "sum": (Add(), "strided", "grouped"),
            "after sum": (Clip(0, 1), "sum"),
            "squeeze": (Mean((2, 3), keepdims=True), "after sum"),
            "shifted": (Add(), "squeeze", "after sum"),
            "after shifted": (Clip(None, 1.2), "shifted"),
            "best": (GlobalMaxPool2D(), "after shifted"),
            "dense": (Dense(12, 9, rng=5), "best"),
            "after dense": (Clip(-1, 1), "dense"),
            "head": (Dense(9, 3, rng=6), "after dense"),
        }
    )


def swishing():
    """Gates after convolutions: of long sums, with batch norm, of groups, of what two layers read."""
    return Graph(
        {
            "stem": (Conv2D(2, 48, 3, padding=1, rng=0), "input"),
            "after stem": (Hardswish(), "stem"),
            "deep": (Conv2D(48, 10, 3, 2, padding=1, rng=1), "after stem"),
            "after deep": (SiLU(), "deep"),
            "depthwise": (Conv2D(10, 10, 5, padding=2, groups=10, bias=False, rng=2), "after deep"),
            "norm": (BatchNorm2D(10), "depthwise"),
            "after norm": (Hardswish(), "norm"),
            "twice": (Conv2D(10, 10, 1, rng=3), "after norm"),
            "swish": (SiLU(), "twice"),
            "sum": (Add(), "swish", "twice"),
            "mean": (GlobalAvgPool2D(), "sum"),
            "head": (Dense(10, 3, rng=4), "mean"),
        }
    )


def many_channels_clipped():
    """Convolutions that Winograd's method takes in float32, between two bounds."""
    return Sequential(
        Conv2D(2, 32, 3, padding=1, rng=0),
        Clip(-0.5, 1),
        Conv2D(32, 40, 3, padding=1, rng=1),
        Clip(-0.5, 1),
        GlobalAvgPool2D(),
        Dense(40, 4, rng=3),
    )


NETWORKS = {
    "tiny": (lambda: tiny_cnn(1), (18, 1, 8, 8), 3),
    "digits": (lambda: digits_cnn(1), (64, 1, 8, 8), 10),
    "norms": (with_norms, (9, 1, 8, 8), 4),
    "residual": (residual, (5, 3, 9, 9), 4),
    "branching": (branching, (4, 2, 9, 11), 3),
    "dropping": (dropping, (5, 1, 8, 8), 4),
    "wide": (wide, (40, 1, 8, 8), 4),
    "wide, one image": (wide, (1, 1, 8, 8), 4),
    "many channels": (many_channels, (4, 2, 13, 14), 4),
    "many channels, one image": (many_channels, (1, 2, 30, 27), 4),
    "many channels, uneven": (many_channels_uneven, (4, 2, 13, 14), 4),
    "narrow": (narrow, (2, 3, 12, 12), 4),
    "uneven": (uneven, (4, 2, 9, 11), 3),
    "uneven, many images": (uneven, (17, 2, 9, 11), 3),
    "gated": (gated, (3, 2, 9, 7), 3),
    "gated, many images": (gated, (20, 2, 11, 6), 3),
    "gated, one image": (gated, (1, 2, 9, 7), 3),
    "clipping": (clipping, (3, 2, 13, 14), 3),
    "clipping, many images": (clipping, (20, 2, 9, 8), 3),
    "swishing": (swishing, (3, 2, 13, 14), 3),
    "swishing, one image": (swishing, (1, 2, 30, 37), 3),
    "many channels, clipped": (many_channels_clipped, (4, 2, 13, 14), 4),
    "best": (best, (3, 1, 9, 8), 3),
    "best, many images": (best, (20, 1, 9, 8), 3),
}


@pytest.fixture(params=NETWORKS)
def case(request):
    """(network maker, images, labels), float64."""
    make, shape, classes = NETWORKS[request.param]
    rng = np.random.default_rng(0)
    return make, rng.normal(size=shape), rng.integers(0, classes, shape[0])


@pytest.fixture
def innermost(monkeypatch):
    """Let all convolutions have the channels innermost, whatever that costs."""
    from neocog.compilation import compiler, layouts

    def everywhere(emit, nodes, end):
        nodes = [node for node in nodes if not node.fused]
        costs = {
            node: (1.0, 0.0) for node in nodes if not node.reason and node.lowering.layout_costs(emit, node)
        }
        found = layouts._innermost(nodes, costs, np.inf)
        for node in nodes:
            node.channels_last = node.output.channels_last = node.output in found

    monkeypatch.setattr(compiler, "choose_layouts", everywhere)
