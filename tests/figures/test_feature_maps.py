import numpy as np
import pytest

import neocog
from neocog import figures
from neocog.inspection import trace


@pytest.fixture(scope="module")
def seen(run):
    network, data, _, _ = run
    images, labels = data.validation
    return trace(network, images[:3], labels[:3])


def test_feature_maps_share_a_scale(seen, heat_maps, words):
    before, after = seen["conv1"].y[1], seen["relu1"].y[1]
    figure = figures.feature_maps(before, after)
    maps = heat_maps(figure)
    for shown, values in zip(maps, [*before, *after], strict=True):
        np.testing.assert_array_equal(shown.z, values)
        assert shown.zmid == 0
        assert -shown.zmin == shown.zmax == np.abs(before).max()
    assert {"before ReLU", "after ReLU", "activation"} <= set(words(figure))
    assert len(heat_maps(figures.feature_maps(before))) == 3
    with pytest.raises(ValueError, match="after must have before's shape"):
        figures.feature_maps(before, after[:2])


def test_max_pooling_frames_the_winners(heat_maps):
    x = np.array([[1.0, 2.0, 0.0, 0.0], [4.0, 3.0, 0.0, 5.0]])
    y, argmax = np.array([[4.0, 5.0]]), np.array([[2, 3]])
    figure = figures.max_pooling(x, y, argmax)
    big, small = heat_maps(figure)
    np.testing.assert_array_equal(big.z, x)
    np.testing.assert_array_equal(small.z, y)
    framed = []
    for shape in figure.layout.shapes:
        column = ((shape.x0 + shape.x1) / 2 - big.x0) / big.dx
        row = ((shape.y0 + shape.y1) / 2 - big.y0) / big.dy
        if 0 < shape.x1 - shape.x0 < big.dx:
            framed.append((round(row), round(column)))
            assert (row, column) == pytest.approx(framed[-1])
    assert framed == [(1, 0), (1, 3)]


def test_max_pooling_of_a_network(seen, heat_maps):
    figure = figures.max_pooling(seen["relu1"].y[0, 2], seen["pool1"].y[0, 2], seen["pool1"].cache[0][0, 2])
    np.testing.assert_array_equal(heat_maps(figure)[1].z, seen["pool1"].y[0, 2])


def test_max_pooling_of_overlapping_windows(rng):
    layer = neocog.MaxPool2D(3, stride=2)
    x = rng.normal(size=(1, 1, 7, 7))
    y, cache = layer.forward(x)
    figures.max_pooling(x[0, 0], y[0, 0], cache[0][0, 0], kernel_size=3, stride=2)
    with pytest.raises(ValueError, match="argmax must point, within each window"):
        figures.max_pooling(x[0, 0], y[0, 0], cache[0][0, 0])


def test_max_pooling_refuses_what_is_no_pooling():
    x = np.zeros((4, 4))
    with pytest.raises(ValueError, match="argmax must be integers of y's shape"):
        figures.max_pooling(x, np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="y must be no larger than x"):
        figures.max_pooling(np.zeros((2, 2)), x, x.astype(int))
    with pytest.raises(ValueError, match="argmax must point"):
        figures.max_pooling(x, np.ones((2, 2)), np.zeros((2, 2), int))


def test_trace_draws_every_step(seen, heat_maps, words):
    names = ["vertical", "horizontal", "diagonal"]
    figure = figures.trace(seen, 2, names)
    np.testing.assert_array_equal(heat_maps(figure, "input")[0].z, seen.x[2, 0])
    bound = np.abs(seen["conv1"].y[2]).max()
    for layer in ("conv1", "relu1", "pool1"):
        maps = heat_maps(figure, layer)
        for shown, values in zip(maps, seen[layer].y[2], strict=True):
            np.testing.assert_array_equal(shown.z, values)
            assert shown.zmid == 0
            assert -shown.zmin == shown.zmax == bound
    logits, chances = (t for t in figure.data if t.type == "bar")
    np.testing.assert_array_equal(logits.customdata, seen.output[2])
    np.testing.assert_array_equal(chances.customdata, seen.probabilities[2])
    lengths = np.array(logits.x) / seen.output[2]
    np.testing.assert_allclose(lengths, lengths[0])  # as long as the numbers are large
    assert lengths[0] > 0
    assert set(names) <= set(words(figure))
    called, truth = names[seen.probabilities[2].argmax()], names[seen.t[2]]
    assert figure.layout.title.subtitle.text.startswith(f"classified as {called} (")
    assert figure.layout.title.subtitle.text.endswith(f"is {truth}")


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (neocog.models.tiny_mlp(), (1, 8, 8)),
        (neocog.models.digits_cnn(), (1, 8, 8)),
        (neocog.models.digits_cnn(image_shape=(3, 12, 8), classes=30), (3, 12, 8)),
        (neocog.models.digits_cnn(image_shape=(2, 8, 8)), (2, 8, 8)),
        (
            neocog.Sequential(
                norm=neocog.BatchNorm2D(1), body=neocog.Residual(neocog.Conv2D(1, 1, 3, padding=1, rng=0))
            ),
            (1, 6, 6),
        ),
    ],
    ids=["MLP", "digits", "colour, 30 classes", "two channels", "residual, no dense layer"],
)
def test_trace_of_any_network(network, shape, rng):
    figure = figures.trace(trace(network, rng.random((2, *shape))), 1)
    assert len(figure.data) >= 3
    assert figure.layout.height > 100


def test_trace_shows_no_more_maps_than_asked_for(rng, heat_maps, words):
    seen = trace(neocog.models.digits_cnn(), rng.random((1, 1, 8, 8)))
    figure = figures.trace(seen, most=4)
    assert len(heat_maps(figure, "conv2, map")) == 4
    assert any("16 × 4 × 4, 4 shown" in text for text in words(figure))


def test_of_many_classes_the_likeliest_are_drawn(rng):
    seen = trace(neocog.models.digits_cnn(classes=30), rng.random((1, 1, 8, 8)))
    _, chances = (t for t in figures.trace(seen).data if t.type == "bar")
    np.testing.assert_array_equal(chances.customdata, np.sort(seen.probabilities[0])[::-1][:10])


def test_trace_refuses_what_it_cannot_draw(seen):
    with pytest.raises(ValueError, match="index must be below 3"):
        figures.trace(seen, 3)
    with pytest.raises(ValueError, match="class_names must name all 3 classes"):
        figures.trace(seen, 0, ["a"])
    with pytest.raises(TypeError, match="seen must be a Trace"):
        figures.trace(np.zeros((1, 1, 8, 8)))


def test_maps_behind_a_normalization_have_a_scale_of_their_own_which_is_drawn(rng, heat_maps, words):
    """Large values before it would leave them white."""
    conv = neocog.Conv2D(1, 2, 3, padding=1, rng=0)
    conv.params["weight"][...] *= 1000
    network = neocog.Sequential(
        conv=conv, norm=neocog.GroupNorm(1, 2), relu=neocog.ReLU(), flatten=neocog.Flatten(),
        dense=neocog.Dense(128, 2, rng=1),
    )  # fmt: skip
    seen = trace(network, rng.random((1, 1, 8, 8)).astype("float32"))
    figure = figures.trace(seen, layers=2)  # norm is left out
    bound = abs(seen["norm"].y).max()
    assert heat_maps(figure, "relu, map")[0].zmax == bound
    assert heat_maps(figure, "conv, map")[0].zmax == abs(seen["conv"].y).max() > 50 * bound
    scales = [text for text in words(figure) if text.startswith("±")]
    assert len(scales) == 2
    assert float(scales[1][1:]) == pytest.approx(bound, rel=0.01)


def test_large_networks_and_large_maps_are_drawn_in_parts(rng, heat_maps, words):
    from neocog.layers import Conv2D, Dense, Flatten, ReLU, Sequential

    layers = [layer for k in range(3) for layer in (Conv2D(1, 1, 3, padding=1, rng=k), ReLU())]
    network = Sequential(*layers, Flatten(), Dense(100 * 8, 2))
    seen = neocog.inspection.trace(network, rng.random((1, 1, 100, 8)).astype("float32"))
    figure = figures.trace(seen, layers=4)
    assert "4 of the 6 layers that can be" in figure.layout.title.subtitle.text
    assert any("drawn at 50 × 8" in text for text in words(figure))
    (first,) = heat_maps(figure, "0, map")
    means = np.asarray(seen["0"].y)[0, 0].reshape(50, 2, 8).mean(axis=1)
    np.testing.assert_allclose(first.z, means, rtol=1e-6)
