"""Random networks of all layers: graphs with branches, merges, and layers at several places."""

import numpy as np

from neocog import layers

ACTIVATIONS = [
    layers.ReLU, lambda: layers.LeakyReLU(0.2), layers.Sigmoid, layers.Tanh, layers.ScaledTanh, layers.GELU,
    lambda: layers.GELU("tanh"), layers.Hardswish, layers.PReLU, layers.Dropout, layers.Hardsigmoid,
    lambda: layers.StochasticDepth(0.5),
    lambda: layers.Clip(-0.5, 1), lambda: layers.Clip(high=None), layers.SiLU, lambda: layers.ELU(0.5),
    layers.SELU, lambda: layers.Softplus(2), layers.Mish, layers.Abs, layers.Exp,
    lambda: layers.Rescale(0.5, -1), lambda: layers.Scale((), -0.5),
]  # fmt: skip

JOINING = [layers.Add, layers.MatMul, layers.Multiply, layers.Maximum, layers.Minimum]


def pair(rng, low, high):
    return tuple(int(rng.integers(low, high + 1)) for _ in range(2))


def sides(rng, high):
    return pair(rng, 0, high), pair(rng, 0, high)


def convolution(rng, shape):
    C = shape[0]
    groups = int(rng.choice([g for g in range(1, C + 1) if C % g == 0]))
    out = groups * int(rng.integers(1, 3))
    options = (
        pair(rng, 1, 3),
        pair(rng, 1, 2),
        sides(rng, 2),
        pair(rng, 1, 2),
        groups,
        bool(rng.integers(2)),
    )
    return layers.Conv2D(C, out, *options, rng=rng)


def sparse_convolution(rng, shape):
    C = shape[0]
    table = [rng.permutation(C)[: rng.integers(1, C + 1)].tolist() for _ in range(rng.integers(1, 4))]
    return layers.SparseConv2D(C, table, pair(rng, 1, 3), pair(rng, 1, 2), pair(rng, 0, 2), rng=rng)


def pooling(rng, shape):
    size, stride, padding, dilation = pair(rng, 1, 3), pair(rng, 1, 3), sides(rng, 1), pair(rng, 1, 2)
    ceil, count = bool(rng.integers(2)), bool(rng.integers(2))
    if rng.integers(2):
        return layers.MaxPool2D(size, stride, padding, dilation, ceil)
    return layers.AvgPool2D(size, stride, padding, count, ceil, None, dilation)


def resizing(rng, shape):
    C, F, stride = shape[0], int(rng.integers(1, 4)), pair(rng, 1, 3)
    mode = str(rng.choice(["nearest", "bilinear"]))
    return [
        lambda: layers.ConvTranspose2D(
            C, F * C, pair(rng, 1, 3), stride, sides(rng, 1), 0, C, dilation=pair(rng, 1, 2), rng=rng
        ),
        lambda: layers.ConvTranspose2D(C, F, pair(rng, 1, 3), stride, sides(rng, 1), stride[0] - 1, rng=rng),
        lambda: layers.Upsample(tuple(rng.uniform(0.5, 2.5, 2)), None, mode),
        lambda: layers.Upsample(None, pair(rng, 1, 9), "bilinear", bool(rng.integers(2))),
    ][rng.integers(4)]()


def norm(rng, shape):
    C = shape[0]
    return [
        lambda: layers.BatchNorm2D(C),
        lambda: layers.GroupNorm(1 if rng.integers(2) else C, C),
        lambda: layers.LayerNorm(shape[-int(rng.integers(1, 4)) :]),
        lambda: layers.LayerNorm(C, axis=1),
        lambda: layers.InstanceNorm(C, affine=bool(rng.integers(2))),
        lambda: layers.LocalResponseNorm(int(rng.integers(1, 5)), 0.5, 0.75, 2.0),
        lambda: layers.Normalize(rng.normal(size=C).tolist(), rng.uniform(0.5, 2, C).tolist()),
        lambda: layers.Bias((C, 1, 1)),
        lambda: layers.Scale((C, 1, 1), rng.uniform(0.5, 2)),
        lambda: layers.Rescale(rng.normal(size=(C, 1, 1)).tolist(), rng.normal(size=shape[1:]).tolist()),
        lambda: layers.Sequential(root=layers.Abs(), of=layers.Sqrt(), to=layers.Power(1.7)),
        lambda: layers.Softmax(int(rng.integers(1, 4))),
        lambda: layers.LogSoftmax(int(rng.integers(1, 4))),
    ][rng.integers(13)]()


def padding(rng, shape):
    mode = str(rng.choice(["constant", "reflect", "replicate", "circular"]))
    return layers.Pad2D(sides(rng, 3), 0.5 if mode == "constant" else 0.0, mode)


def shaping(rng, shape):
    C, H, W = shape
    return [
        lambda: layers.PadChannels(int(rng.integers(3))),
        lambda: layers.Transpose((0, *(1 + rng.permutation(3)).tolist())),
        lambda: layers.Reshape((0, H, -1, W)),
        lambda: layers.Slice(int(rng.integers(2)), None, int(rng.integers(1, 3)), int(rng.integers(1, 4))),
        lambda: layers.ChannelShuffle(C // 2 if C % 2 == 0 else C),
        lambda: layers.Mean((int(rng.integers(1, 3)), 3), keepdims=True),
        lambda: layers.Sum(int(rng.integers(1, 4)), keepdims=True),
    ][rng.integers(7)]()


def activation(rng, shape):
    return ACTIVATIONS[rng.integers(len(ACTIVATIONS))]()


MAKERS = [
    convolution,
    convolution,
    sparse_convolution,
    pooling,
    resizing,
    norm,
    padding,
    shaping,
    activation,
    activation,
]


def random_network(rng, steps=12):
    """Return a graph of random layers, and the shape of its image."""
    shape = (int(rng.integers(1, 5)), *pair(rng, 4, 9))
    shapes, nodes, read = {"input": shape}, {}, set()

    def add(make, *sources):
        try:
            layer = make(rng, shapes[sources[0]])
            given = tuple((1, *shapes[source]) for source in sources)
            found = layer.output_shape(given if layer.several_inputs else given[0])
        except ValueError:  # it does not fit
            return
        if 0 < np.prod(found) <= 2000:
            name = f"n{len(nodes)}"
            nodes[name], shapes[name] = (layer, *sources), tuple(map(int, found[1:]))
            read.update(sources)

    while len(nodes) < steps:
        source = str(rng.choice([*shapes]))
        other = str(rng.choice([*shapes]))
        kind = rng.random()
        if kind < 0.12:
            add(lambda *_: JOINING[rng.integers(len(JOINING))](), source, other)
        elif kind < 0.24:
            add(lambda *_: layers.Concat(int(rng.integers(1, 4))), source, other)
        elif kind < 0.34 and nodes:
            again = nodes[str(rng.choice([*nodes]))][0]
            add(lambda *_, again=again: again, *([source, other] if again.several_inputs else [source]))
        elif len(shapes[source]) == 3:
            add(MAKERS[rng.integers(len(MAKERS))], source)
    ends = [name for name in nodes if name not in read]
    flat = []
    for k, name in enumerate(ends):
        ending = [layers.Flatten, layers.GlobalAvgPool2D, layers.GlobalMaxPool2D][rng.integers(3)]()
        nodes[f"flat{k}"] = (ending, name)
        flat.append(f"flat{k}")
        shapes[f"flat{k}"] = ending.output_shape((1, *shapes[name]))[1:]
    nodes["joined"] = (layers.Concat(), *flat)
    features = sum(shapes[name][0] for name in flat)
    nodes["norm"] = (layers.BatchNorm1D(features), "joined")
    nodes["dense"] = (layers.Dense(features, 4, rng=rng), "norm")
    nodes["radial"] = (layers.RadialBasis(4, 3, rng=rng), "dense")
    nodes["output"] = (layers.Softmax(), "radial")
    network = layers.Graph(nodes)
    for _, layer in network.leaves():
        for name, array in [*layer.params.items(), *layer.buffers.items()]:
            if name in ("bias", "running_mean") or "Norm" in type(layer).__name__:
                array[...] = rng.uniform(0.5, 1.5, array.shape)
    return network, shape
