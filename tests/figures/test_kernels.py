import numpy as np
import pytest

from neocog import figures


def test_filters_hold_the_weights_on_a_scale_around_zero(rng, heat_maps):
    weights = rng.normal(size=(3, 2, 3, 3))
    maps = heat_maps(figures.filters(weights))
    assert len(maps) == 6
    for k, shown in enumerate(maps):
        np.testing.assert_array_equal(shown.z, weights[divmod(k, 2)])
        assert shown.zmid == 0
        assert -shown.zmin == shown.zmax == np.abs(weights).max()


def test_values_are_written_where_there_is_room(rng, heat_maps):
    assert heat_maps(figures.filters(rng.normal(size=(3, 1, 3, 3))))[0].texttemplate == "%{z:.2f}"
    assert heat_maps(figures.filters(rng.normal(size=(8, 1, 11, 11))))[0].texttemplate is None
    assert heat_maps(figures.filters(rng.normal(size=(3, 1, 3, 3)), values=False))[0].texttemplate is None


def test_filters_are_named(rng, words):
    weights = rng.normal(size=(2, 1, 3, 3))
    assert {"left", "right"} <= set(words(figures.filters(weights, names=["left", "right"])))
    assert {"filter 0", "filter 1"} <= set(words(figures.filters(weights)))
    with pytest.raises(ValueError, match="names must be 2, one a filter, got 1"):
        figures.filters(weights, names=["left"])


def test_a_kernel_of_zeros_has_a_scale_too(heat_maps):
    (shown,) = heat_maps(figures.filters(np.zeros((1, 1, 3, 3))))
    assert (shown.zmin, shown.zmax) == (-1, 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((3, 3)), r"weights must have 4 dimensions, got shape \(3, 3\)"),
        (np.zeros((0, 1, 3, 3)), "must not be empty"),
        (np.full((1, 1, 2, 2), np.nan), "weights must be finite, got nan at index"),
        ([[1], [1, 2]], "rows of different lengths"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        figures.filters(weights)


def test_names_are_no_weights():
    with pytest.raises(TypeError, match="weights must be an array of real numbers"):
        figures.filters(np.full((1, 1, 1, 1), "a"))


def test_evolution_has_a_step_a_snapshot_on_one_scale(run, heat_maps):
    _, _, _, snapshots = run
    figure = figures.filter_evolution(snapshots)
    epochs = sorted(snapshots)
    assert epochs == [0, 1, 3]
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["0", "1", "3"]
    assert slider.active == 2
    bound = max(np.abs(w).max() for w in snapshots.values())
    for shown in heat_maps(figure):
        assert shown.zmid == 0
        assert -shown.zmin == shown.zmax == bound
    for epoch, frame, step in zip(epochs, figure.frames, slider.steps, strict=True):
        assert frame.name == step.args[0][0] == str(epoch)
        assert list(frame.traces) == [0, 1, 2]
        for f, part in enumerate(frame.data):
            np.testing.assert_array_equal(part.z, snapshots[epoch][f, 0])
    for f, shown in enumerate(heat_maps(figure)):
        assert figure.data[f] is shown  # what the frames redraw
        np.testing.assert_array_equal(shown.z, snapshots[3][f, 0])


def test_evolution_sorts_the_epochs(rng):
    figure = figures.filter_evolution({5: np.ones((1, 1, 2, 2)), 0: np.zeros((1, 1, 2, 2))})
    assert [frame.name for frame in figure.frames] == ["0", "5"]


def test_evolution_refuses_what_does_not_belong_together():
    one, other = np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 3, 3))
    with pytest.raises(ValueError, match="snapshots must be of one shape"):
        figures.filter_evolution({0: one, 1: other})
    with pytest.raises(TypeError, match="an epoch of snapshots must be an integer, got 'a'"):
        figures.filter_evolution({"a": one})
    with pytest.raises(ValueError, match="snapshots must not be empty"):
        figures.filter_evolution({})
    with pytest.raises(TypeError, match="snapshots must be a dict"):
        figures.filter_evolution([one])


def test_grid_has_a_row_a_filter_and_a_column_an_epoch(run, heat_maps, words):
    _, _, _, snapshots = run
    figure = figures.filter_grid(snapshots)
    maps = heat_maps(figure)
    assert [m.name for m in maps] == [f"filter {f}, epoch {e}" for f in range(3) for e in (0, 1, 3)]
    bound = max(np.abs(w).max() for w in snapshots.values())
    for k, shown in enumerate(maps):
        f, column = divmod(k, 3)
        np.testing.assert_array_equal(shown.z, snapshots[(0, 1, 3)[column]][f, 0])
        assert -shown.zmin == shown.zmax == bound
        assert shown.x0 == maps[column].x0  # of one epoch: beneath each other
        assert shown.y0 == maps[3 * f].y0
    assert words(figure)[:7] == ["epoch", "0", "1", "3", "filter 0", "filter 1", "filter 2"]
    assert not figure.frames


def test_grid_has_a_row_a_channel_and_names(rng, heat_maps, words):
    weights = rng.normal(size=(2, 2, 3, 3))
    figure = figures.filter_grid({4: weights, 0: 0 * weights}, names=["left", "right"])
    maps = heat_maps(figure)
    assert maps[0].name == "left, channel 0, epoch 0"
    assert maps[-1].name == "right, channel 1, epoch 4"
    np.testing.assert_array_equal(maps[-1].z, weights[1, 1])
    assert {"left", "right"} <= set(words(figure))


def test_grid_refuses_what_does_not_belong_together():
    one, other = np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 3, 3))
    with pytest.raises(ValueError, match="snapshots must be of one shape"):
        figures.filter_grid({0: one, 1: other})
    with pytest.raises(ValueError, match="names must be 1, one a filter, got 2"):
        figures.filter_grid({0: one}, names=["a", "b"])
    with pytest.raises(ValueError, match="an epoch of snapshots must be at least 0, got -1"):
        figures.filter_grid({-1: one})


def test_kernels_over_red_green_and_blue_are_drawn_in_colour():
    weights = np.zeros((1, 3, 1, 2))
    weights[0, 0, 0] = 2.0, -2.0
    weights[0, 2, 0] = 0.0, 1.0
    first, *rest = figures.filters(weights).data[:4]
    assert first.type == "image"
    assert np.asarray(first.z).tolist() == [[[255, 128, 128], [0, 128, 191]]]
    assert [trace.name.split(", ")[1] for trace in rest] == ["red", "green", "blue"]
    assert {trace.type for trace in figures.filters(weights, colour=False).data} == {"heatmap"}
    with pytest.raises(ValueError, match="colour needs kernels over 3 channels, got 1"):
        figures.filters(weights[:, :1], colour=True)
    moved = figures.filter_evolution({0: weights, 1: -weights})
    assert np.asarray(moved.frames[0].data[0].z).tolist() == np.asarray(first.z).tolist()
    assert len(moved.frames[1].data) == 4
