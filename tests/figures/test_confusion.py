import numpy as np
import pytest

from neocog import figures, inspection, models

MATRIX = np.array([[23, 0, 0], [2, 33, 1], [0, 0, 31]])


def test_confusion_matrix_shows_counts_and_accuracies():
    figure = figures.confusion_matrix(MATRIX, ["vertical", "horizontal", "diagonal"])
    (heat,) = figure.data
    np.testing.assert_array_equal(heat.customdata, MATRIX)
    assert [list(row) for row in heat.text] == [["23", "", ""], ["2", "33", "1"], ["", "", "31"]]
    share = MATRIX / MATRIX.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(np.abs(heat.z), share)
    assert (np.diag(heat.z) < 0).all()  # blue
    assert (heat.z - np.diag(np.diag(heat.z)) >= 0).all()  # orange
    assert (heat.zmin, heat.zmid, heat.zmax) == (-1, 0, 1)
    assert list(figure.layout.xaxis.ticktext) == ["vertical", "horizontal", "diagonal"]
    assert list(figure.layout.yaxis.ticktext) == [
        "vertical  <b>100%</b>",
        "horizontal  <b>92%</b>",
        "diagonal  <b>100%</b>",
    ]
    assert "87 of 90 correct (96.7%)" in figure.layout.title.subtitle.text
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "predicted class",
        "true class",
    )


def test_a_matrix_is_a_square_on_a_narrow_page():
    figure = figures.confusion_matrix(np.eye(10, dtype=int))
    height = 1.0 * (368 - 32) + figure.layout.meta["edges"]  # as the script of the page computes it
    assert 380 < height < 430 < figure.layout.height


def test_a_class_that_never_occurs_has_no_accuracy():
    figure = figures.confusion_matrix([[0, 0], [1, 3]])
    assert list(figure.layout.yaxis.ticktext) == ["0", "1  <b>75%</b>"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"matrix must be square, got shape \(2, 3\)"),
        ([[0.5, 0.5], [0, 1]], "matrix must hold counts"),
        ([[-1, 0], [0, 1]], "matrix must hold counts"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        figures.confusion_matrix(matrix)


def test_embedding_draws_a_class_a_colour_and_rings_wrong_answers(rng):
    points, labels = rng.normal(size=(6, 2)), np.array([0, 1, 2, 0, 1, 2])
    predicted = np.array([0, 1, 2, 0, 1, 0])
    *classes, wrong = figures.embedding(points, labels, ["a", "b", "c"], predicted).data
    for k, drawn in enumerate(classes):
        np.testing.assert_array_equal(np.c_[drawn.x, drawn.y], points[labels == k])
        assert drawn.name == "abc"[k]
    assert len({drawn.marker.color for drawn in classes}) == 3
    assert len({drawn.marker.symbol for drawn in classes}) == 3
    np.testing.assert_array_equal([wrong.x, wrong.y], points[5:].T)
    assert wrong.hovertext == ("image 5: c, classified as a",)
    assert len(figures.embedding(points, labels, predicted=labels).data) == 3


def test_embedding_of_many_classes_tells_them_apart(rng):
    drawn = figures.embedding(rng.normal(size=(12, 2)), np.arange(12)).data
    assert len({(t.marker.color, t.marker.symbol) for t in drawn}) == 12


def test_embedding_refuses_what_is_not_in_a_plane(rng):
    with pytest.raises(ValueError, match=r"points must be \(N, 2\), got shape \(4, 3\)"):
        figures.embedding(rng.normal(size=(4, 3)), np.zeros(4, int))
    with pytest.raises(ValueError, match="y must be 4"):
        figures.embedding(rng.normal(size=(4, 2)), np.zeros(3, int))


def test_loss_landscape_over_two_directions_and_along_one(rng):
    values, x, y = rng.random((4, 5)) + 1, np.linspace(-1, 1, 5), np.linspace(-2, 2, 4)
    surface, *_, centre = figures.loss_landscape(values, x, y).data
    np.testing.assert_array_equal(surface.z, values)
    np.testing.assert_array_equal(surface.x, x)
    np.testing.assert_array_equal(surface.y, y)
    assert (centre.x, centre.y) == ((0,), (0,))
    (line,) = figures.loss_landscape(values[0], x).data
    np.testing.assert_array_equal(line.y, values[0])


@pytest.mark.parametrize(
    ("corners", "levels"),
    [
        ((0.03, 4), [0.05, 0.1, 0.2, 0.5, 1, 2]),
        ((1, 2.1), [1.2, 1.4, 1.6, 1.8, 2.0]),
        ((0, 400), [50, 100, 150, 200, 250, 300, 350]),
        ((3, 3), []),
    ],
)
def test_loss_landscape_has_round_levels(corners, levels):
    low, high = corners
    surface, *lines, _ = figures.loss_landscape([[low, low], [low, high]], [-1, 1], [-1, 1]).data
    np.testing.assert_allclose([line.contours.value for line in lines], levels, rtol=1e-12)
    np.testing.assert_array_equal(surface.customdata, [[low, low], [low, high]])
    if low == 0.03:
        np.testing.assert_allclose(surface.z, np.log10(surface.customdata), rtol=1e-12)


def test_loss_landscape_draws_what_was_measured(rng):
    network, x, y = models.tiny_cnn(), rng.random((2, 1, 8, 8)), np.array([0, 1])
    measured = inspection.loss_landscape(network, x, y, steps=3)
    figure = figures.loss_landscape(measured)
    surface = figure.data[0]
    for i, j in np.ndindex(3, 3):  # the first direction to the right
        assert surface.customdata[j][i] == measured.losses[i, j]
    assert figure.layout.title.subtitle.text == "cross: the trained network"
    assert figure.layout.yaxis.scaleanchor == "x"
    along = inspection.loss_landscape(network, x, y, directions=1, steps=3)
    (line,) = figures.loss_landscape(along).data
    np.testing.assert_array_equal(line.x, along.offsets)
    np.testing.assert_array_equal(line.y, along.losses)
    with pytest.raises(TypeError, match="x and y must not be given with a Landscape"):
        figures.loss_landscape(along, [0, 1, 2])


def test_loss_landscape_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(len\(y\), len\(x\)\) = \(2, 3\), got \(3, 2\)"):
        figures.loss_landscape(np.zeros((3, 2)), [0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="values must be 3, one a step, got 2"):
        figures.loss_landscape([1.0, 2.0], [0, 1, 2])
    with pytest.raises(ValueError, match="values of two dimensions need x and y"):
        figures.loss_landscape(np.zeros((2, 2)), [0, 1])


def test_class_names_are_text_to_plotly():
    figure = figures.confusion_matrix([[1, 0], [0, 1]], ["red <b>", "a & b"])
    assert "red &lt;b&gt;" in str(figure.to_dict())
    assert "red <b>" not in str(figure.to_dict())


def test_many_classes_are_numbered_and_have_no_names_on_a_narrow_page():
    names = [f"a class with a long name {k}" for k in range(24)]
    figure = figures.confusion_matrix(np.eye(24, dtype=int), names)
    assert figure.layout.xaxis.ticktext[23] == "23"
    assert figure.layout.yaxis.ticktext[23] == "a class …name 23  23  <b>100%</b>"
    narrow = figure.layout.meta["narrow"]
    assert narrow["layout"]["yaxis.ticktext"][23] == "23"
    assert narrow["edges"] > figure.layout.meta["edges"]  # more of the width is the matrix
    few = figures.confusion_matrix(np.eye(3, dtype=int), ["a", "b", "a class with a very long name"])
    assert few.layout.xaxis.ticktext == ("a", "b", "a class …ng name")
    assert "narrow" not in few.layout.meta
