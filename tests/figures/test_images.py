import numpy as np
import pytest

import neocog
from neocog import figures


def test_gallery_draws_the_images_with_their_labels(rng, heat_maps, words):
    images = rng.random((36, 1, 8, 8))
    labels = np.arange(36) % 10
    figure = figures.image_gallery(images, labels)
    maps = heat_maps(figure)
    assert len(maps) == 36
    for shown, image in zip(maps, images, strict=True):
        np.testing.assert_array_equal(shown.z, image[0])
        assert (shown.zmin, shown.zmax) == (0, 1)
    assert words(figure) == [str(label) for label in labels]


def test_misclassified_images_say_both_classes_and_the_probability(rng, words):
    images, names = rng.random((2, 8, 8)), ["cat", "dog"]
    probabilities = np.array([[0.2, 0.8], [0.4, 0.6]])
    figure = figures.image_gallery(images, [0, 1], names, [1, 1], probabilities)
    assert words(figure) == ["is cat<br>classified as dog<br>80%", "is dog<br>classified as dog<br>60%"]
    wrong, right = figure.layout.shapes
    assert wrong.line.color != right.line.color
    assert wrong.line.width > right.line.width
    assert figure.layout.title.text == "Images and predictions"
    assert figures.image_gallery(images, [0, 1], names, [1, 0]).layout.title.text == "Misclassified images"
    assert words(figures.image_gallery(images, [0, 1], names, [1, 1], [0.8, 0.6]))[0].endswith("80%")


def test_colour_images_keep_their_colours(rng):
    images = rng.random((2, 3, 4, 5))
    first, _ = figures.image_gallery(images).data
    assert first.type == "image"
    np.testing.assert_array_equal(first.z, (images[0] * 255).astype(np.uint8).transpose(1, 2, 0))


def test_ink_or_light(rng, heat_maps):
    image = rng.random((1, 4, 4))
    (ink,), (light,) = (heat_maps(figures.image_gallery(image, ink=ink)) for ink in (True, False))
    assert [stop[1] for stop in ink.colorscale] == [stop[1] for stop in light.colorscale][::-1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": [0]}, ValueError, "y must be 2"),
        ({"y": [0.5, 1.0]}, TypeError, "y must be integers"),
        ({"y": [0, -1]}, ValueError, "y must be at least 0"),
        ({"y": [0, 2], "class_names": ["a", "b"]}, ValueError, "class_names must name all 3 classes"),
        ({"y": [0, 1], "class_names": "ab"}, TypeError, "got the string 'ab'"),
        ({"probabilities": [0.5, 0.5]}, ValueError, "pass predicted too"),
        ({"predicted": [0, 1], "probabilities": [0.5]}, ValueError, "probabilities must be 2"),
        ({"predicted": [0, 1], "probabilities": [[1.0], [1.0]]}, ValueError, "must be of 2 classes"),
        ({"columns": 0}, ValueError, "columns must be at least 1"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        figures.image_gallery(np.zeros((2, 1, 4, 4)), **arguments)


def test_two_channels_cannot_be_drawn():
    with pytest.raises(ValueError, match="x must have 1 or 3 channels to be drawn"):
        figures.image_gallery(np.zeros((2, 2, 4, 4)))


def test_class_examples_begin_with_the_clean_pattern(run, heat_maps, words):
    data = run[1]
    figure = figures.class_examples(data, count=2)
    maps = heat_maps(figure)
    assert len(maps) == 9
    assert words(figure) == ["vertical", "horizontal", "diagonal"]
    images, labels = data.train
    for k, name in enumerate(data.class_names):
        clean, *noisy = maps[3 * k : 3 * k + 3]
        np.testing.assert_array_equal(clean.z, neocog.data.base_pattern(name))
        for shown, image in zip(noisy, images[labels == k], strict=False):
            np.testing.assert_array_equal(shown.z, image[0])


def test_class_examples_without_patterns(rng, heat_maps):
    split = neocog.data.Split((rng.random((4, 1, 5, 5)), np.array([0, 1, 0, 1])))
    assert len(heat_maps(figures.class_examples(split))) == 4
    assert len(heat_maps(figures.class_examples(split, bases={"0": np.zeros((5, 5))}))) == 5
    with pytest.raises(ValueError, match=r"bases\['0'\] must be 5 x 5"):
        figures.class_examples(split, bases={"0": np.zeros((4, 4))})
    regression = neocog.data.Split((rng.random((2, 1, 5, 5)), np.array([0.5, 1.5])))
    with pytest.raises(ValueError, match="split must be one of classes"):
        figures.class_examples(regression)


def test_responses_share_a_scale_and_show_their_kernels(rng, heat_maps):
    image, kx = rng.random((8, 8)), np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    maps = {"vertical edges": rng.normal(size=(8, 8)), "horizontal edges": rng.normal(size=(8, 8))}
    figure = figures.responses(image, maps, {"vertical edges": kx, "horizontal edges": kx.T})
    bound = max(np.abs(m).max() for m in maps.values())
    for name, answer in maps.items():
        (shown,) = heat_maps(figure, name)
        np.testing.assert_array_equal(shown.z, answer)
        assert shown.zmid == 0
        assert -shown.zmin == shown.zmax == bound
    (kernel,) = heat_maps(figure, "kernel of vertical")
    np.testing.assert_array_equal(kernel.z, kx)
    assert kernel.texttemplate
    with pytest.raises(ValueError, match="a name of kernels must be one of"):
        figures.responses(image, maps, {"edges": kx})


def test_heat_overlay_picks_its_scale(rng, heat_maps):
    image, heat = rng.random((8, 8)), rng.normal(size=(4, 4))
    alone, over = heat_maps(figures.heat_overlay(image, heat, label="saliency"), "saliency")
    np.testing.assert_array_equal(alone.z, heat)
    np.testing.assert_array_equal(over.z, heat)
    assert alone.zmid == over.zmid == 0
    assert -alone.zmin == alone.zmax == np.abs(heat).max()
    alone, _ = heat_maps(figures.heat_overlay(image, np.abs(heat), label="saliency"), "saliency")
    assert (alone.zmin, alone.zmax) == (0, np.abs(heat).max())
    alone, _ = heat_maps(figures.heat_overlay(image, np.abs(heat), "diverging", label="saliency"), "saliency")
    assert alone.zmid == 0
    with pytest.raises(ValueError, match="heat must not be negative on a sequential scale"):
        figures.heat_overlay(image, heat, "sequential")
    with pytest.raises(ValueError, match="kind must be one of"):
        figures.heat_overlay(image, heat, "rainbow")


def test_a_coarse_heat_map_covers_the_whole_image(rng, heat_maps):
    figure = figures.heat_overlay(rng.random((3, 8, 8)), rng.random((4, 2)), label="heat")
    _, over = heat_maps(figure, "heat")
    under = [t for t in figure.data if t.type == "image"][-1]
    assert over.x0 - over.dx / 2 == pytest.approx(under.x0 - under.dx / 2)
    assert over.y0 - over.dy / 2 == pytest.approx(under.y0 - under.dy / 2)
    assert (over.dx * 2, over.dy * 4) == pytest.approx((under.dx * 8, under.dy * 8))
