"""The lessons: what their files may say, how they are bound to a network, how answers are checked."""

import dataclasses
import html
import json
import tomllib

import numpy as np
import pytest

import neocog
from neocog.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential
from neocog.studio import lessons
from neocog.studio.architecture import describe
from neocog.studio.measures import MEASURES, Scene, largest_path, measure, pushed
from neocog.studio.page import read_header


@pytest.fixture(scope="module")
def small():
    """A TinyCNN trained for three epochs, the scene and the description of its lesson."""
    data = neocog.data.line_patterns("b")
    network = neocog.models.tiny_cnn(seed=99)
    history = neocog.fit(network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=18, rng=11)
    samples = data.validation[0][:8]
    runs = {"this run": lessons.columns_of(history), "other": lessons.columns_of(history)}
    return describe(network), Scene(network, samples[1], samples, runs)


def hand_made():
    """A network small enough to be followed by hand: one kernel, a ReLU, a window, two logits."""
    network = Sequential(
        conv=Conv2D(1, 2, 2, dtype="float64"),
        relu=ReLU(),
        pool=MaxPool2D(2),
        flatten=Flatten(),
        dense=Dense(2, 2, dtype="float64"),
    )
    network.params["conv.weight"][:] = [[[[1, 0], [-1, 2]]], [[[-1, -1], [-1, -1]]]]
    network.params["conv.bias"][:] = [0.5, 0]
    network.params["dense.weight"][:] = [[3, -1], [1, 1]]
    network.params["dense.bias"][:] = [10, 0]
    network((image := np.array([[[1.0, 0, 2], [0, 1, 3], [2, 1, 0]]]))[None])
    return Scene(network, image, np.stack([image, -image]))


def test_measures_by_hand():
    """conv is ((3.5, 5.5), (0.5, 0.5)) and ((-2, -6), (-4, -5)); the 5.5 makes the logits 26.5 and -5.5."""
    scene = hand_made()
    assert np.array_equal(scene.values("conv")[0], [[3.5, 5.5], [0.5, 0.5]])
    assert measure(scene, "value", place=["dense", 0]) == 26.5
    assert measure(scene, "without", place=["conv", 0, 0, 1], pixel=[1, 2]) == 5.5 - 2 * 3
    assert measure(scene, "strongest", node="conv") == 1
    assert measure(scene, "silent", node="relu") == 1
    assert measure(scene, "dead", node="relu") == 0  # the second map answers to the negative picture
    assert measure(scene, "guessing") == pytest.approx(np.log(2))
    assert largest_path(scene) == [
        ("dense", (0,)),
        ("flatten", (0,)),
        ("pool", (0, 0, 0)),
        ("relu", (0, 0, 1)),
        ("conv", (0, 0, 1)),
        ("input", (0, 1, 2)),  # 2 x 3 is the largest of its products
    ]
    assert measure(scene, "pixel") == (2, 3)
    assert measure(scene, "slope", pixel=[1, 2]) == pytest.approx(2 * 3)
    assert measure(scene, "slope", pixel=[1, 1]) == pytest.approx(-1 * 3)
    assert measure(scene, "direction", pixel=[1, 1]) == "lowers"
    assert measure(scene, "direction", pixel=[2, 0]) == "neither"


def test_a_pushed_picture():
    picture = np.arange(1, 10).reshape(1, 3, 3)
    assert pushed(picture, 1, -1).tolist() == [[[2, 3, 3], [2, 3, 3], [5, 6, 6]]]
    assert pushed(picture, -2, 2).tolist() == [[[7, 7, 7], [7, 7, 7], [7, 7, 7]]]
    assert pushed(picture, 0, 7).tolist() == [[[1, 1, 1], [4, 4, 4], [7, 7, 7]]]
    assert np.array_equal(pushed(picture, 0, 0), picture)


def test_a_change_is_relative_and_pushes_are_counted():
    """A network that reads the last column, to which ink is pushed from the middle one."""
    network = Sequential(flatten=Flatten(), dense=Dense(9, 2, dtype="float64"))
    network.params["dense.weight"][:] = 0
    network.params["dense.weight"][[2, 5, 8], 0] = 1
    network.params["dense.bias"][:] = [0, 0.5]
    image = np.array([[[0.0, 1, 0]] * 3])
    scene = Scene(network, image, image[None])
    assert measure(scene, "pushes") == 1
    assert measure(scene, "change", node="dense", columns=1) == pytest.approx(
        600
    )  # from (0, 0.5) to (3, 0.5)
    stubborn = Sequential(flatten=Flatten(), dense=Dense(9, 2, dtype="float64"))
    stubborn.params["dense.weight"][:] = 0
    assert measure(Scene(stubborn, image, image[None]), "pushes") == 0


def test_histories_are_asked():
    runs = {
        "a": {"epoch": [0, 2, 4], "val_loss": [3.0, 1.0, 2.0]},
        "b": {"epoch": [0, 2, 4], "val_loss": [3.0, float("nan"), 1.5]},
    }
    scene = dataclasses.replace(hand_made(), runs=runs)
    assert measure(scene, "best-epoch", run="a", column="val_loss") == 2
    assert measure(scene, "best-epoch", run="b", column="val_loss") == 4
    assert measure(scene, "best-run", column="val_loss") == "a"


@pytest.mark.parametrize("name", lessons.names())
def test_a_lesson_that_ships_is_a_good_one(name):
    lesson = lessons.find(name)
    assert lesson.name == name
    assert 3 <= len(lesson.steps) <= 6
    assert sum("question" in step for step in lesson.steps) >= 1
    text = " ".join(step["text"] for step in lesson.steps)
    assert "**Predict" in text
    assert "**Look" in text
    for step in lesson.steps:
        assert len(step["text"].split()) <= 130, step["title"]
        if "question" in step:  # a hint that gives the answer away is none
            assert step["hint"][0].islower()
            assert step["hint"].endswith(".")
            assert step["solution"].endswith(".")


@pytest.mark.parametrize("name", lessons.names())
def test_a_lesson_is_bound_to_another_run_and_checks_itself(name, small):
    """Every lesson runs over a network that is not its own, and takes the computed answer and no other."""
    description, scene = small
    if name == "overfitting":
        runs = {"plain": scene.runs["this run"], "augmented": scene.runs["other"]}
        scene = dataclasses.replace(scene, runs=runs)
    lesson = lessons.find(name)
    bound = json.loads(json.dumps(lesson.bind(description, scene)))
    assert "{" not in " ".join(step["text"] for step in bound["steps"])
    asked = 0
    for number, step in enumerate(bound["steps"]):
        for reading in step["readings"]:
            if reading["arguments"].get("pixel") != "pick":
                assert np.isfinite(measure(scene, reading["measure"], **reading["arguments"]))
        if "question" not in step:
            with pytest.raises(ValueError, match=f"step {number + 1} of lesson {name!r} asks nothing"):
                lesson.check(number, "1", description, scene)
            continue
        asked += 1
        expected = measure(scene, step["question"]["measure"], **step["question"]["arguments"])
        written = ", ".join(map(str, expected)) if isinstance(expected, tuple) else f" {expected} "
        verdict = lesson.check(number, written, description, scene)
        assert verdict, (name, number, expected)
        assert verdict.message.startswith("Right. ")
        assert verdict.name == f"lesson {name}, step {number + 1}"
        for wrong in ("", "no idea", "-7", "-7, 1", "[", "__import__('os')"):
            verdict = lesson.check(number, wrong, description, scene)
            assert not verdict
            assert verdict.message.startswith("Not yet: ")
            assert verdict.message.endswith(step["question"]["hint"])
    assert asked >= 1


def test_places(small):
    description, scene = small
    binding = lessons.Binding("mine", description, scene)
    values = scene.values("conv1")
    node, *index = binding.place("largest {conv}")
    assert (node, values[tuple(index)]) == ("conv1", values.max())
    assert binding.place("{relu} at lowest {conv}")[0] == "relu1"
    assert binding.place("{relu} at lowest {conv}")[1:] == binding.place("lowest conv1")[1:]
    assert binding.place("conv1:0,2,3") == ["conv1", 0, 2, 3]
    assert binding.pixel("under conv1:0,2,3") == [3, 4]
    assert binding.pixel("pick") == "pick"
    for text in ("somewhere", "conv1:a", "largest", "largest conv9", ""):
        with pytest.raises(ValueError, match=r"a place is|a node must be one of"):
            binding.place(text)
    with pytest.raises(ValueError, match="a pixel is 'pick', 'path' or 'under PLACE'"):
        binding.pixel("left")
    with pytest.raises(ValueError, match="word must be one of 'conv', 'relu'"):
        binding.fill("the {cnov}")


def test_the_pixel_under_a_strided_padded_kernel():
    network = Sequential(conv=Conv2D(1, 1, 5, stride=2, padding=2))
    image = np.zeros((1, 9, 9))
    binding = lessons.Binding("mine", describe(network, (1, 9, 9)), Scene(network, image, image[None]))
    assert binding.pixel("under conv:0,0,0") == [0, 0]
    assert binding.pixel("under conv:0,1,3") == [2, 6]


def test_a_network_without_the_layer(small):
    network = Sequential(flatten=Flatten(), dense=Dense(64, 3))
    image = np.zeros((1, 8, 8))
    with pytest.raises(ValueError, match="'relu' needs a layer Conv2D, and this network has none; take"):
        lessons.find("relu").bind(describe(network, (1, 8, 8)), Scene(network, image, image[None]))


MINE = """
title = "Mine"
[preset]
data = "digits"
network = "digits-cnn"
[[steps]]
title = "Look"
text = "At {conv}."
question = "How many?"
answer = { measure = "dead", node = "{relu}" }
hint = "count."
solution = "So many."
"""


def test_a_lesson_of_ones_own(tmp_path, small):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    bound = lessons.find(str(path)).bind(*small)
    assert bound["name"] == "mine"
    assert bound["steps"][0]["text"] == "At conv1."
    assert bound["steps"][0]["question"]["arguments"] == {"node": "relu1"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "Mine"', "", "lesson 'mine': the lesson has no title"),
        ('title = "Look"', 'titel = "Look"', "lesson 'mine': step 1 has titel; it may have answer, at"),
        ('hint = "count."', "", "lesson 'mine': step 1 has no hint"),
        ('network = "digits-cnn"', 'network = "digit-cnn"', "lesson 'mine': network must be one of"),
        ('network = "digits-cnn"', 'network = "digits-cnn"\nlr = -1', "lesson 'mine': lr must be"),
        ('data = "digits"', 'data = "digts"', "lesson 'mine': data must be one of 'digits'"),
        ("[preset]", "preset = 3\n[other]", "lesson 'mine': the lesson has other; it may have"),
        ('title = "Mine"', "title =", "mine.toml is no lesson: Invalid value"),
    ],
)
def test_a_malformed_lesson_is_said_in_a_sentence(tmp_path, old, new, says):
    path = tmp_path / "mine.toml"
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ValueError, match="lesson") as caught:
        lessons.find(str(path))
    assert says in str(caught.value)


def test_unknown_names(small, tmp_path):
    with pytest.raises(ValueError, match="lesson must be one of 'convolution', 'relu'"):
        lessons.find("relus")
    with pytest.raises(FileNotFoundError):
        lessons.find(str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="name must be one of 'value', 'without'"):
        measure(small[1], "no")
    asked = tomllib.loads(MINE)
    asked["steps"][0]["answer"] = {"measure": "alive"}
    with pytest.raises(ValueError, match="measure must be one of 'value'"):
        lessons.Lesson("mine", asked).bind(*small)


def test_every_measure_is_asked_or_read():
    """A measure that no lesson uses would only be a burden."""
    used = set()
    for name in lessons.names():
        for step in lessons.find(name).steps:
            used |= {step["answer"]["measure"]} if "answer" in step else set()
            used |= {one["measure"] for one in step.get("readings", ())}
    assert used == set(MEASURES)


@pytest.mark.nightly
def test_units_die_and_the_network_is_no_ruin():
    trained = lessons.find("relu").train()
    images, labels = trained.data.validation
    scene = Scene(trained.network, images[0], images[:24], trained.runs)
    assert 1 <= measure(scene, "dead", node="relu1") <= 4
    assert neocog.training.evaluate(trained.network, images, labels).accuracy > 0.7
    assert max(trained.snapshots.snapshots) == 5


@pytest.mark.nightly
def test_rates_and_overfitting_show_what_they_are_about():
    rates = lessons.find("rates").train()
    last = {name: run["train_loss"][-1] for name, run in rates.runs.items()}
    assert list(last) == ["0.12", "0.01", "2"]
    assert last["0.12"] < last["0.01"] < last["2"]
    assert last["2"] == pytest.approx(np.log(3), abs=0.05)
    over = lessons.find("overfitting").train()
    plain, augmented = over.runs["plain"], over.runs["augmented"]
    assert plain["train_loss"][-1] < 0.01
    assert min(plain["val_loss"]) + 0.03 < plain["val_loss"][-1]
    assert min(augmented["val_loss"]) < min(plain["val_loss"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of the line patterns, one epoch."""
    path = tmp_path_factory.mktemp("runs") / "lines"
    command_line("train", "lines-b", "--epochs", "1", "--out", path, "--no-report")
    return path


def command_line(*arguments):
    from typer.testing import CliRunner

    from neocog.cli import app

    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.output


def test_the_command_lists_lessons_and_writes_one(tmp_path):
    code, text = command_line("lesson")
    assert code == 0
    assert all(f"{name} " in text for name in lessons.names())
    code, text = command_line("lesson", "--json")
    assert [one["name"] for one in json.loads(text)] == lessons.names()
    code, text = command_line("lesson", "rates", tmp_path / "rates.html")
    assert code == 0, text
    found = read_header(tmp_path / "rates.html")
    assert found["lesson"]["name"] == "rates"
    assert [run["name"] for run in found["lesson"]["runs"]] == ["0.12", "0.01", "2"]
    assert found["title"] == "Learning rates"
    assert (tmp_path / "rates.html").stat().st_size < 215_000
    code, text = command_line("lesson", "rate")
    assert code == 2
    assert "lesson must be one of" in text


def test_a_page_of_a_run_takes_a_lesson(run, tmp_path):
    code, text = command_line("page", run, tmp_path / "page.html", "--lesson", "relu")
    assert code == 0, text
    found = read_header(tmp_path / "page.html")["lesson"]
    assert found["name"] == "relu"
    assert found["steps"][0]["at"][0] == "conv1"
    code, text = command_line("page", run, tmp_path / "no.html", "--lesson", "rates")
    assert code == 2
    assert "compares runs of its own; write it alone: neocog lesson rates" in " ".join(text.split())
    assert not (tmp_path / "no.html").exists()


def test_a_frame_holds_all_it_needs(small):
    from neocog.studio.embedding import show_network

    _, scene = small
    shown = show_network(scene.network, scene.samples, title="<b>T</b>", begin="at=conv1:0,1,1", height=300)
    frame = shown._repr_html_()
    assert frame.startswith(
        '<iframe class="living-page" title="&lt;b&gt;T&lt;/b&gt;" sandbox="allow-scripts"'
    )
    assert "height: 300px" in frame
    assert html.unescape(frame.split('srcdoc="')[1].split('"')[0]) == shown.html
    with pytest.raises(ValueError, match="height must be"):
        show_network(scene.network, scene.samples, height=0)
