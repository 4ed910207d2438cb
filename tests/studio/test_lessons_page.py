"""The lessons in the browser: the page measures as Python does, and lessons are done by keyboard alone."""

import dataclasses
import json
import re

import numpy as np
import pytest

import neocog
from neocog.layers import AvgPool2D, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential, Softmax
from neocog.serialization import arrays_of
from neocog.studio import lessons
from neocog.studio.architecture import describe
from neocog.studio.lesson_page import write_lesson_page
from neocog.studio.measures import MEASURES, Scene, measure
from neocog.studio.page import from_text, living_page
from neocog.training import Snapshots

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def small():
    """A TinyCNN trained for three epochs: (network, snapshots, samples, labels, columns of its history)."""
    data = neocog.data.line_patterns("b")
    network, kept = neocog.models.tiny_cnn(seed=99), Snapshots()
    network.class_names = data.class_names
    optimizer = neocog.SGD(lr=0.12)
    history = neocog.fit(
        network, data, optimizer=optimizer, epochs=3, batch_size=18, rng=11, callbacks=[kept]
    )
    images, labels = data.validation
    return network, kept.snapshots, images[:12], labels[:12], lessons.columns_of(history)


def networks():
    """Networks that try strides, paddings, an average pooling, a softmax at the end."""
    rng = np.random.default_rng(5)
    strided = Sequential(
        conv=Conv2D(2, 3, 3, stride=2, padding=1, rng=0),
        relu=ReLU(),
        pool=AvgPool2D(2),
        flatten=Flatten(),
        dense=Dense(12, 4, rng=1),
        softmax=Softmax(),
    )
    yield "strided", strided, rng.random((5, 2, 8, 8)).astype(np.float32)
    deeper = Sequential(
        conv=Conv2D(1, 4, 5, dilation=2, rng=2),
        relu=ReLU(),
        pool=MaxPool2D(2),
        conv2=Conv2D(4, 4, 2, rng=3),
        relu2=ReLU(),
        flatten=Flatten(),
        dense=Dense(16, 3, rng=4),
    )
    yield "deeper", deeper, rng.normal(size=(5, 1, 14, 14)).astype(np.float32)
    yield "tiny", neocog.models.tiny_cnn(seed=1), rng.random((5, 1, 8, 8)).astype(np.float32)


MEASURE = """async ([description, arrays, samples, runs, asked]) => {
  const { MEASURES, Scene } = await import("/lessons.js");
  const flat = (values) => Float32Array.from(values.flat(Infinity));
  const maps = new Map(Object.entries(arrays).map(([name, values]) => [name, flat([values])]));
  const images = samples.map(flat);
  return asked.map(([k, name, given]) =>
    MEASURES[name](new Scene({ description, arrays: maps, image: images[k], samples: images, runs }), given));
}"""


def bound_to(name, network, description, samples, columns):
    """A lesson bound to a network, and its scene; every run a little slower than the one before."""
    lesson = lessons.find(name)
    runs = {
        run: {key: [value + k * (key != "epoch") for value in values] for key, values in columns.items()}
        for k, run in enumerate(lesson.runs)
    }
    scene = Scene(network, samples[min(lesson.sample, len(samples) - 1)], samples, runs)
    return lesson.bind(description, scene), scene


@pytest.mark.parametrize("kind", [name for name, *_ in networks()])
def test_the_page_measures_as_python_does(module_page, kind):
    network, samples = next((net, images) for name, net, images in networks() if name == kind)
    network(samples)
    description = describe(network, samples.shape[1:])
    columns = {"epoch": [0, 1, 2, 3], "val_loss": [2.0, 0.5, 0.25, 1.0], "train_loss": [2.0, 1.0, 0.5, 0.4]}
    arrays = {name: np.asarray(array).tolist() for name, array in arrays_of(network).items()}
    seen = set()
    for name in lessons.names():
        found, scene = bound_to(name, network, description, samples, columns)
        entries = [step["question"] for step in found["steps"] if "question" in step]
        entries += [reading for step in found["steps"] for reading in step["readings"]]
        asked, expected = [], []
        for entry in entries:
            given = {key: [1, 2] if value == "pick" else value for key, value in entry["arguments"].items()}
            for k, image in enumerate(samples):
                asked.append([k, entry["measure"], given])
                expected.append(measure(dataclasses.replace(scene, image=image), entry["measure"], **given))
        got = module_page.evaluate(MEASURE, [description, arrays, samples.tolist(), found["runs"], asked])
        for one, value, other in zip(asked, expected, got, strict=True):
            if isinstance(value, float):
                assert other == pytest.approx(value, rel=1e-5, abs=1e-7), one
            else:
                assert other == (list(value) if isinstance(value, tuple) else value), one
        seen |= {one[1] for one in asked}
    assert seen == set(MEASURES)


CHECK = """async ([description, arrays, image, samples, runs, asked, answers]) => {
  const { Scene, check } = await import("/lessons.js");
  const flat = (values) => Float32Array.from(values.flat(Infinity));
  const maps = new Map(Object.entries(arrays).map(([name, values]) => [name, flat([values])]));
  const images = samples.map(flat);
  const scene = new Scene({ description, arrays: maps, image: flat(image), samples: images, runs });
  return answers.map((answer) => check(scene, asked, answer));
}"""


@pytest.mark.parametrize("name", lessons.names())
def test_the_page_judges_answers_as_python_does(module_page, small, name):
    network, _, samples, _, columns = small
    description = describe(network)
    lesson = lessons.find(name)
    found, scene = bound_to(name, network, description, samples, columns)
    arrays = {key: np.asarray(array).tolist() for key, array in arrays_of(network).items()}
    for number, step in enumerate(found["steps"]):
        if "question" not in step:
            continue
        asked = step["question"]
        expected = measure(scene, asked["measure"], **asked["arguments"])
        answers = ["", "no", "7", "-1.5", "1, 2", "(1, 2, 3)", "0xff", "raises", "LOWERS ", "1e", "2;3"]
        if isinstance(expected, tuple):
            answers += [", ".join(map(str, expected)), f"({expected[0]} {expected[1]})"]
        elif isinstance(expected, str):
            answers += [expected, f" {expected.upper()} "]
        else:
            answers += [
                f"{expected}",
                f"{expected:.3f}".replace(".", ","),
                f"{expected:.2f}".replace("-", "−"),
            ]
            answers += [f"{expected + 0.004:.3f}", f"{expected + 0.02:.3f}"]
        given = [description, arrays, scene.image.tolist(), samples.tolist(), found["runs"], asked, answers]
        for answer, got in zip(answers, module_page.evaluate(CHECK, given), strict=True):
            verdict = lesson.check(number, answer, description, scene)
            assert (got["right"], got["text"]) == (verdict.right, verdict.message), (number, answer, expected)


SAYS = "(words) => document.querySelector('.lesson .verdict').textContent.startsWith(words)"


@pytest.fixture
def open_lesson(page, small, tmp_path):
    """Write a lesson's living page about the small network, and open it as a file: nothing else is loaded."""
    network, frames, samples, labels, columns = small
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    def open_it(name, lesson=None, hash_=""):
        if lesson is None:
            lesson, _ = bound_to(name, network, describe(network), samples, columns)
        described = [{"name": f"image {k}", "label": int(labels[k]), "predicted": None} for k in range(12)]
        text = living_page(
            network, frames, samples, described, history=columns, title="Lesson", lesson=lesson
        )
        path = tmp_path / f"{name}.html"
        path.write_text(text, encoding="utf-8")
        page.goto(f"{path.as_uri()}{hash_}")
        page.wait_for_selector(".lesson h3")
        return lesson

    yield open_it
    assert asked
    assert all(url.startswith("file:") for url in asked)


def tab_to(page, matches):
    """Press Tab until the focused element matches a selector."""
    for _ in range(80):
        if page.evaluate("(selector) => document.activeElement?.matches(selector) ?? false", matches):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {matches}")


@pytest.mark.parametrize("name", lessons.names())
def test_a_lesson_is_done_by_keyboard_alone(page, open_lesson, small, name):
    network, _, samples, _, columns = small
    lesson = open_lesson(name)
    do_by_keyboard(page, lesson, bound_to(name, network, describe(network), samples, columns)[1])


@pytest.mark.nightly
@pytest.mark.parametrize("name", lessons.names())
def test_a_lesson_as_it_ships_is_done_by_keyboard_alone(page, tmp_path, name):
    """Over its own network; the answers are computed from the weights in the file."""
    path = write_lesson_page(name, tmp_path / "lesson.html")
    header, arrays = contents(path)
    found = lessons.find(name)
    trained = found.train()
    last = header["start"]
    for array, values in arrays_of(trained.network).items():
        values[...] = arrays[f"w/{last}/{array}"]
    runs = {run["name"]: run for run in header["lesson"]["runs"]}
    scene = Scene(trained.network, arrays["images"][found.sample], arrays["images"], runs)
    page.goto(path.as_uri())
    page.wait_for_selector(".lesson h3")
    do_by_keyboard(page, header["lesson"], scene)


def contents(path):
    """The header of a living page, and its arrays."""
    data = from_text(re.search(r'id="data">([^<]+)</script>', path.read_text(encoding="utf-8"))[1])
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + size])
    start, arrays = 4 + size + -size % 4, {}
    for name, shape, kind in header["arrays"]:
        dtype = {"u1": np.uint8, "f2": "<f2", "f4": "<f4"}[kind]
        count = int(np.prod(shape))
        array = np.frombuffer(data, dtype, count, start).reshape(shape).astype(np.float32)
        arrays[name] = array / np.float32(255) if kind == "u1" else array
        start += count * np.dtype(dtype).itemsize
        start += -start % 4
    return header, arrays


def do_by_keyboard(page, lesson, scene):
    """Go through a lesson by Tab, Enter and letters, with a wrong and a right answer to each question."""
    for number, step in enumerate(lesson["steps"]):
        assert page.locator(".lesson h3").inner_text() == step["title"]
        if "at" in step:
            node, *index = step["at"]
            written = f"{node}:{','.join(map(str, index))}"
            page.wait_for_function("(place) => location.hash.includes(`at=${place}`)", arg=written)
        readings = page.locator(".readings dd").all_inner_texts()
        assert len(readings) == len(step["readings"])
        for value in readings:
            assert any(character.isdigit() for character in value), value
        if "question" in step:
            asked = step["question"]
            expected = measure(scene, asked["measure"], **asked["arguments"])
            right = ", ".join(map(str, expected)) if isinstance(expected, tuple) else f"{expected}"
            tab_to(page, ".question input")
            page.keyboard.type("-99")
            page.keyboard.press("Enter")
            page.wait_for_function(SAYS, arg="Not yet")
            page.keyboard.press("ControlOrMeta+a")
            page.keyboard.type(right)
            page.keyboard.press("Enter")
            page.wait_for_selector(".lesson .verdict.right")
            assert page.locator(".lesson .verdict").inner_text() == f"Right. {asked['solution']}"
        if number < len(lesson["steps"]) - 1:
            tab_to(page, ".lesson .next")
            page.keyboard.press("Enter")
            page.wait_for_function("(n) => location.hash.includes(`step=${n}`)", arg=number + 2)
            assert (
                page.evaluate("document.activeElement.tagName") == "H3"
            )  # a screen reader reads on from here
    solved = [dot for dot in page.locator(".lesson .dot").all_inner_texts() if dot == "✓"]
    assert len(solved) == sum("question" in step for step in lesson["steps"])
    assert f"lesson={lesson['name']}" in page.evaluate("location.hash")


def test_a_link_leads_to_a_step_and_to_what_was_looked_at(page, open_lesson):
    lesson = open_lesson("convolution", hash_="#step=3&at=conv1:1,2,2&sample=4")
    assert page.locator(".lesson h3").inner_text() == lesson["steps"][2]["title"]
    page.wait_for_function("() => location.hash.includes('lesson=convolution')")
    kept = page.evaluate("location.hash")
    assert "at=conv1:1,2,2" in kept
    assert "sample=4" in kept


def test_the_picked_pixel_is_read_live(page, open_lesson, small):
    """The slope follows the pixel that is picked."""
    network, _, samples, _, columns = small
    _, scene = bound_to("path", network, describe(network), samples, columns)
    open_lesson("path", hash_="#step=3")
    value = page.locator(".readings dd")
    page.wait_for_function("() => /[0-9]/.test(document.querySelector('.readings dd').textContent)")
    page.wait_for_function("() => location.hash.includes('at=input:0,')")  # written a moment later
    place = page.evaluate("location.hash").split("at=input:0,")[1].split("&")[0]
    row, column = map(int, place.split(","))
    first = measure(scene, "slope", pixel=[row, column])
    assert float(value.inner_text().replace("−", "-")) == pytest.approx(first, rel=6e-3)
    slopes = {(i, j): measure(scene, "slope", pixel=[i, j]) for i in range(8) for j in range(8)}
    row, column = min(slopes, key=lambda place: slopes[place])
    page.evaluate("(at) => { location.hash = `sample=4&step=3&at=${at}`; }", f"input:0,{row},{column}")
    page.wait_for_function(
        """(expected) => {
          const shown = Number(document.querySelector('.readings dd').textContent.replace('−', '-'));
          return Math.abs(shown - expected) <= 6e-3 * Math.abs(expected);
        }""",
        arg=slopes[row, column],
    )
    page.locator(".why .close").press("Enter")
    page.wait_for_function(
        "() => document.querySelector('.readings dd').textContent === 'pick a pixel of the input'"
    )


def test_text_is_never_html(page, open_lesson, small):
    network, _, samples, _, columns = small
    lesson, _ = bound_to("relu", network, describe(network), samples, columns)
    evil = "<img src=x onerror=alert(1)> **<b>bold</b>** </script><script>alert(2)</script>"
    lesson = json.loads(json.dumps(lesson))
    lesson["title"] = lesson["steps"][0]["title"] = lesson["steps"][0]["text"] = evil
    open_lesson("evil", lesson)
    assert page.locator(".lesson img, .lesson b, .lesson script").count() == 0
    assert "<b>bold</b>" in page.locator(".lesson strong").inner_text()


def test_a_lesson_inside_a_course_page(page, small, open_lesson, tmp_path):
    """As docs/tools/lessons.md shows: an iframe that may run scripts, and nothing else."""
    open_lesson("rates")
    frame = '<iframe src="rates.html#step=2" sandbox="allow-scripts" width="900" height="700"></iframe>'
    (tmp_path / "course.html").write_text(f"<!doctype html><title>Course</title>{frame}", encoding="utf-8")
    page.goto((tmp_path / "course.html").as_uri())
    inside = page.frame_locator("iframe")
    inside.locator(".lesson .question input").fill("0.12")
    inside.locator(".lesson .question input").press("Enter")
    assert inside.locator(".lesson .verdict.right").inner_text().startswith("Right.")


def test_a_step_hides_what_would_distract(page, open_lesson, small):
    network, _, samples, _, columns = small
    lesson, _ = bound_to("relu", network, describe(network), samples, columns)
    open_lesson("hidden", {**lesson, "hide": ["answer"]})
    page.wait_for_selector(".panel.answer", state="hidden")
    assert page.locator(".panel.why").is_visible()
