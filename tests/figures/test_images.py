import base64
import io

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

import neocog
from neocog import figures
from neocog.figures.pixels import colour_pixels


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


def test_many_pixels_are_pictures_and_few_are_numbers(rng):
    few, many = rng.random((2, 1, 8, 8)), rng.random((36, 1, 48, 48))
    assert {trace.type for trace in figures.image_gallery(few).data} == {"heatmap"}
    figure = figures.image_gallery(many)
    assert {trace.type for trace in figure.data} == {"image"}
    file = base64.b64decode(figure.data[5].source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
    np.testing.assert_allclose(pixels / 255, 1 - many[5, 0], atol=1 / 255)
    assert figure.data[5].hovertemplate.startswith("image 5")
    colours = rng.random((10, 3, 48, 48))
    file = base64.b64decode(figures.image_gallery(colours).data[0].source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(file)))
    np.testing.assert_array_equal(pixels, (colours[0] * 255).astype(np.uint8).transpose(1, 2, 0))


def test_no_number_is_transparent_and_overlays_let_through():
    stops = [(0.0, "rgba(255, 255, 255, 0)"), (1.0, "rgba(255, 0, 0, 1)")]
    heat = go.Heatmap(z=[[0.0, 1.0, np.nan]], zmin=0, zmax=1, colorscale=stops)
    assert colour_pixels(heat).tolist() == [[[255, 255, 255, 0], [255, 0, 0, 255], [255, 255, 255, 0]]]


def test_the_names_of_files_stand_above_their_images(rng, words):
    names = ["a.png", "a <very> long name of a picture 17.png"]
    figure = figures.image_gallery(
        rng.random((2, 8, 8)), [0, 1], ["cat", "dog"], [1, 1], image_names=names, columns=6
    )
    assert "is cat<br>→ dog" in words(figure)
    assert any(text.endswith("17.png") and text.startswith("…") for text in words(figure))
    assert "&lt;very&gt; long name of a picture 17.png" in figure.data[1].name
    with pytest.raises(ValueError, match="image_names must be 2, one an image, got 1"):
        figures.image_gallery(rng.random((2, 8, 8)), image_names=["a"])


def test_the_tone_comes_from_the_preprocessing(tmp_path, heat_maps):
    for name in "ab":
        (tmp_path / name).mkdir()
        for k in range(5):
            Image.new("L", (4, 4), 100).save(tmp_path / name / f"{k}.png")
    split = neocog.data.image_folder(tmp_path)
    for figure in (figures.image_gallery(split.train[0]), figures.class_examples(split)):
        assert heat_maps(figure)[0].colorscale[0][1] == "#000000"
    assert heat_maps(figures.image_gallery(split.train[0], ink=True))[0].colorscale[0][1] == "#ffffff"


def test_attributions_stand_beside_their_images(rng, heat_maps, words):
    x, maps = (
        rng.random((2, 1, 8, 8)),
        {"saliency": rng.random((2, 8, 8)), "Grad-CAM": rng.normal(size=(2, 4, 4))},
    )
    figure = figures.attribution_grid(x, maps, ["one", "two & more"])
    for k in range(2):
        shown = heat_maps(figure, "Grad-CAM")[k]
        np.testing.assert_array_equal(shown.z, maps["Grad-CAM"][k])
        assert -shown.zmin == shown.zmax == np.abs(maps["Grad-CAM"][k]).max()
        assert shown.dx == 2 * heat_maps(figure, "saliency")[k].dx
    assert {"one", "two &amp; more", "saliency", "Grad-CAM"} <= set(words(figure))
    with pytest.raises(ValueError, match=r"maps\['saliency'\] must be 2, one an image, got 1"):
        figures.attribution_grid(x, {"saliency": rng.random((1, 8, 8))})
    with pytest.raises(ValueError, match="image_names must be 2"):
        figures.attribution_grid(x, maps, ["one"])
