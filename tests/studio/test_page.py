"""The living page: written by Python, opened from a file in a real browser."""

import json
import re
import time

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog import runs
from neocog.cli import app
from neocog.inspection import explain
from neocog.settings import settings_for
from neocog.studio import architecture
from neocog.studio.bundle import WEB, bundle, stylesheet, without_comments
from neocog.studio.page import from_text, pack, to_text, write_network_page, write_page
from neocog.training import load_snapshots

SEVEN = [(0.2, 0.15), (0.8, 0.15), (0.45, 0.9)]
FOUR = [(0.6, 0.1), (0.2, 0.62), (0.85, 0.62)], [(0.6, 0.1), (0.6, 0.9)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "run"
    runs.train(settings_for("digits", epochs=4, kernels="im2col"), out)
    return out


@pytest.fixture(scope="module")
def living(run):
    return write_page(run)


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    network = neocog.models.by_name.build_network("digits-cnn", 3, (3, 12, 12), seed=0)
    network.class_names = ["red", "green", "blue"]
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 12)).astype("float32") / 255
    path = tmp_path_factory.mktemp("colour") / "page.html"
    return write_network_page(network, images, path, labels=[0, 1, 2], ink=False), images


def shown(value, digits=4):
    """Write a number as the page does."""
    text = f"{value:.{digits}g}"
    return text.replace("-", "−")


def eventually(page, code):
    """Wait until code in the page is true; Playwright's own wait evaluates text, which the policy forbids."""
    end = time.monotonic() + 15
    while not page.evaluate(code):
        assert time.monotonic() < end, code
        page.wait_for_timeout(20)


def settle(page):
    """Wait until what has changed is drawn, with the next frame."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


def opened(page, path, place=""):
    page.goto(f"{path.as_uri()}{place}")
    eventually(page, "view && view.context.values().size > 1")
    settle(page)
    return page


def test_the_script_is_one_and_comments_are_left_out(tmp_path):
    (tmp_path / "a.js").write_text(
        "// why\n/** What. */\nexport function f() {\n  return `\n  // kept`;\n}\n"
        "export const g = 1, h = 2; // a pair\nexport default f;\n"
    )
    (tmp_path / "b.js").write_text('export { g as one } from "./a.js";\nexport class B {}\n')
    (tmp_path / "c.js").write_text(
        'import f, { g } from "./a.js";\nimport * as b from "./b.js";\nimport "./d.js";\nimport "./e.js";\n'
        'const z = () => import("./f.js");\nexport { z as y };\n'
    )
    (tmp_path / "d.js").write_text("d();\n")
    (tmp_path / "e.js").write_text("e();\n")
    (tmp_path / "f.js").write_text("export const late = 1;\n")
    head = (
        '"use strict";\nconst modules = {};\n'
        "const later = (make) => { let made; return () => (made ??= make()); };\n"
        'modules["a.js"] = (() => {\nfunction f(){\nreturn`\n  // kept`;\n}\nconst g=1,h=2;\n'
        'const __default=f;\nreturn { f, g, "default": __default };\n})();\n'
        'modules["b.js"] = (() => {\nclass B{}\nreturn { "one": modules["a.js"].g, B };\n})();\n'
    )
    late = 'modules["f.js"] = later(() => {\nconst late=1;\nreturn { late };\n});\n'
    tail = (
        'modules["c.js"] = (() => {\nconst f = modules["a.js"].default;\nconst { g } = modules["a.js"];\n'
        'const b = modules["b.js"];\n'
        'const z=()=>new Promise((done)=>setTimeout(()=>done(modules["f.js"]())));\n'
        'return { "y": z };\n})();\n'
        'const entry = modules["c.js"];\ndone(entry.y);\n'
    )
    d, e = (f'modules["{k}.js"] = (() => {{\n{k}();\nreturn {{  }};\n}})();\n' for k in "de")
    assert bundle("c.js", "done(entry.y);", tmp_path) == head + d + e + late + tail
    assert bundle("c.js", "done(entry.y);", tmp_path, ["d.js", "f.js"]) == head + e + tail


CODE = r"""const text = "a  // b" + 'c  /* d */', path = /[/"'`]  \/\/ x/g;
const deep = `one  ${ { a: `two  ${ 1 + 2 }  } three` }.a }  four`; /* and */ const five = 5
const six = six_ / five / 2, seven = a - -b + +c - --d, odd = typeof /x  y/.source;
for (const each of /p  q/.source) if (each in [deep]) continue // so
return [text, path.source, deep, five, six, seven, odd]
"""
SHORT = r"""const text="a  // b"+'c  /* d */',path=/[/"'`]  \/\/ x/g;
const deep=`one  ${{a:`two  ${1+2}  } three`}.a}  four`;const five=5
const six=six_/five/2,seven=a- -b+ +c- --d,odd=typeof/x  y/.source;
for(const each of/p  q/.source)if(each in[deep])continue
return[text,path.source,deep,five,six,seven,odd]
"""


def test_spaces_are_left_out_where_they_mean_nothing(browser):
    assert without_comments(CODE) == SHORT
    assert without_comments(SHORT) == SHORT
    page = browser.new_page()
    run = "(code) => new Function('six_', 'a', 'b', 'c', 'd', code)(40, 1, 2, 3, 4)"
    written, short = page.evaluate(run, CODE), page.evaluate(run, SHORT)
    page.close()
    assert (
        written
        == short
        == ["a  // bc  /* d */", "[/\"'`]  \\/\\/ x", "one  two  3  } three  four", 5, 4, 3, "string"]
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ('import { x } from "./b.js";\n', r"in a circle: a\.js -> b\.js -> a\.js"),
        ('import { x } from "https://elsewhere.example/x.js";\n', "only files of the page's folder"),
        ('import { x } from "../../x.js";\n', "not in the subpath"),
        ('import "./c.js";\nconst d = () => import("./c.js");\n', "c.js is imported later by a.js, and was"),
        (
            'import { d } from "./d.js";\nimport { e } from "./c.js";\n',
            "c.js is imported later by one module",
        ),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(tmp_path, code, error):
    (tmp_path / "a.js").write_text(code)
    (tmp_path / "b.js").write_text('import { y } from "./a.js";\n')
    (tmp_path / "c.js").write_text("export const e = 1;\n")
    (tmp_path / "d.js").write_text('export const d = () => import("./c.js");\n')
    with pytest.raises(ValueError, match=error):
        bundle("a.js", folder=tmp_path)


def test_bytes_are_written_as_text_and_read_by_the_page(module_page, rng):
    data = rng.integers(0, 256, 4009, dtype=np.uint8).tobytes()
    parts = [data[:size] for size in (0, 1, 2, 3, 4, 5, 4007, 4008, 4009)]
    written = [to_text(part) for part in parts]
    assert [from_text(text) for text in written] == parts
    assert all(len(text) <= 1.25 * len(part) + 1 for text, part in zip(written, parts, strict=True))
    assert set("".join(written)).isdisjoint("<\\\"' \n")
    code = """async (texts) => {
      const { fromText } = await import("/model.js");
      return texts.map((text) => [...fromText(`\\n${text}`)]);
    }"""
    assert [bytes(found) for found in module_page.evaluate(code, written)] == parts


def test_numbers_are_packed_in_the_smallest_type_that_keeps_them():
    arrays = {
        "bytes": np.arange(256, dtype="float32") / np.float32(255),
        "halves": np.arange(-8, 8, dtype="float32") / 16,
        "given": np.float16([0.1, np.nan]),
        "full": np.float32([0.1, 0.2]),
        "nan": np.float32([np.nan, np.inf]),
    }
    data = pack({"a": 1}, arrays)
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    kinds = {name: kind for name, _, kind in header["arrays"]}
    assert kinds == {"bytes": "u1", "halves": "f2", "given": "f2", "full": "f4", "nan": "f4"}
    assert len(data) == 4 + length + -length % 4 + 256 + 32 + 4 + 8 + 8


def test_own_code_libraries_and_pages_are_small(living, tmp_path):
    names = re.findall(r'^modules\["(.*?)"\]', bundle("living.js"), re.MULTILINE)
    own = sum((WEB / name).stat().st_size for name in names if not name.startswith("vendor/"))
    libraries = sum(path.stat().st_size for path in (WEB / "vendor").glob("*.js"))
    assert own < 160_000
    assert libraries < 70_000
    more_epochs = 3 * 2 * 1898 * 5 / 4  # trained for 10, three more are kept, in float16
    assert living.stat().st_size + more_epochs < 235_000
    network = neocog.models.lenet5()
    image = np.zeros((1, *network.input_shape), "float32")
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=a.shape).astype("float32") for name, a in network.params.items()}
    half = {name: a.astype("float16") for name, a in arrays.items()}
    text = neocog.studio.page.living_page(
        network,
        {**dict.fromkeys(range(10), half), 10: arrays},
        image,
        [{"name": "0", "label": 0, "predicted": 0}],
    )
    assert len(text.encode()) < 3_500_000


def test_a_page_holds_the_layers_of_its_network_and_no_others(living, colour):
    def held(path):
        return set(
            re.findall(r'^modules\["layers/(\w+)\.js"\]', path.read_text(encoding="utf-8"), re.MULTILINE)
        )

    shared = {"base", "index", "sums", "window", "copying"}
    assert held(living) - shared == {"convolution", "activation", "pooling", "shape", "dense"}
    path, _ = colour  # of a network without a history
    for each, curves in ((living, True), (path, False)):
        written = each.read_text(encoding="utf-8")
        assert ('modules["vendor/uplot.js"] = later(' in written) is curves
        assert ("Leon Sorokin" in written) is curves


COLOURS = """(size) => {
  const canvas = document.querySelector('[data-node="conv"] canvas'), { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const side = (width - 6 - 5) / 2; // two maps, 3 pixels around them, 5 between
  return [0, 1].map((map) => {
    const x = Math.floor(3 + map * (side + 5) + side / size / 2); // through the middle of cells
    const found = new Set();
    for (let y = 5; y < height - 5; y++) {
      found.add(data.slice(4 * (y * width + x), 4 * (y * width + x) + 3).join());
    }
    return found.size;
  });
}"""


@pytest.mark.parametrize("size", [8, 28, 60])
def test_numbers_below_zero_are_marked_in_cells_of_any_size(page, tmp_path, size):
    """Two maps of equal numbers: that below zero has more than one colour, that above zero has not."""
    network = neocog.layers.Sequential(conv=neocog.layers.Conv2D(1, 2, 1, bias=False))
    network["conv"].params["weight"][...] = np.reshape([-1, 1], (2, 1, 1, 1))
    network.input_shape = (1, size, size)
    image = np.ones((1, *network.input_shape), "float32")
    opened(page, write_network_page(network, image, tmp_path / "page.html"))
    below, above = page.evaluate(COLOURS, size)
    assert below > 1
    assert above == 1


def test_the_style_and_the_script_are_allowed_by_their_hashes_only(living):
    text = living.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert stylesheet() in text


def test_the_command_and_training_name_the_page(run, tmp_path):
    result = CliRunner().invoke(app, ["page", str(run), str(tmp_path / "a.html"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "page": str(tmp_path / "a.html"),
        "bytes": (tmp_path / "a.html").stat().st_size,
    }
    for path in (tmp_path, run / "model.neocog", tmp_path / "nowhere"):
        result = CliRunner().invoke(app, ["page", str(path)])
        assert result.exit_code == 2
        assert "there is no config.json" in result.stderr or "holds no model.neocog" in result.stderr
    result = CliRunner().invoke(app, ["train", "lines-b", "--epochs", "1", "--out", str(tmp_path / "b")])
    assert result.exit_code == 0
    last = result.stdout.strip().splitlines()
    assert last[-1].startswith("page:")
    assert str(tmp_path / "b" / "page.html") in last[-1]
    assert 'href="page.html"' in (tmp_path / "b" / "report.html").read_text(encoding="utf-8")


def test_images_that_are_gone_cost_a_sentence_only(tmp_path):
    for k, name in enumerate(("dark", "light")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (16, 16), (100 * k + 9 * i,) * 3).save(tmp_path / "own" / name / f"{i}.png")
    settings = settings_for(str(tmp_path / "own"), epochs=1, validation=0.25, kernels="im2col")
    runs.train(settings, tmp_path / "run")
    with_images = write_page(tmp_path / "run", tmp_path / "a.html")
    assert "could not be opened" not in with_images.read_text(encoding="utf-8")
    assert neocog.studio.page.read_header(with_images)["measured"] == "validation"  # not what is held out
    (tmp_path / "own").rename(tmp_path / "moved")
    without = write_page(tmp_path / "run", tmp_path / "b.html")
    data = neocog.studio.page.read_header(without)
    assert data["samples"] == []
    assert "The run's images could not be opened" in data["notes"][0]


@pytest.mark.browser
def test_it_works_from_a_file_and_asks_nobody(page, living):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, living)
    page.locator('[data-node="conv2"] .maps').click()
    page.get_by_label("Play the training").click()
    page.wait_for_timeout(200)
    assert asked == [living.as_uri()]
    assert page.locator("section.layer").count() == 9  # the image and eight layers
    assert page.locator(".bar").count() == 10


@pytest.mark.browser
def test_a_picked_sum_is_that_of_explain(page, run, living):
    opened(page, living, "#sample=0")
    image = np.array(page.evaluate("Array.from(view.context.image())")).reshape(1, 1, 8, 8)
    network = neocog.load(run / "model.neocog").astype("float64")
    for at in ("conv1:2,3,4", "relu1:0,1,1", "pool1:5,2,3", "conv2:3,1,1", "flatten:40", "dense:7"):
        name, _, place = at.partition(":")
        index = (0, *map(int, place.split(",")))
        page.evaluate("(place) => view.context.set({ at: place })", {"node": name, "index": list(index[1:])})
        settle(page)
        answer = explain(network, image, at=name, index=index)
        found = page.evaluate("[view.context.found.value, view.context.found.parts.map((p) => p.product)]")
        assert found[0] == pytest.approx(answer.value, rel=1e-6)
        np.testing.assert_allclose(sorted(found[1]), sorted(term.value for term in answer.terms), atol=1e-6)
        assert page.locator(".why .value").inner_text() == shown(answer.value)
        listed = page.locator(".term .result").all_inner_texts()
        largest = sorted((abs(term.value) for term in answer.terms), reverse=True)[: len(listed)]
        np.testing.assert_allclose(
            [abs(float(text.replace("−", "-"))) for text in listed], largest, atol=6e-4
        )


def explained(run, epoch, image, at, index):
    """Return a number of the network at a stored epoch."""
    network = neocog.load(run / "model.neocog").astype("float64")
    for name, array in load_snapshots(run / "snapshots.neocog")[epoch].items():
        network.params[name][...] = array
    return explain(network, image, at=at, index=index).value


@pytest.mark.browser
def test_the_same_number_through_training(page, run, living):
    """The pick stays while the epoch changes, and its sum is that of the epoch's weights."""
    opened(page, living, "#at=conv1:1,4,4")
    slider = page.get_by_label("Epoch shown")
    slider.focus()
    snapshots = load_snapshots(run / "snapshots.neocog")
    image = np.array(page.evaluate("Array.from(view.context.image())")).reshape(1, 1, 8, 8)
    for epoch in (3, 2, 1, 0):
        slider.press("ArrowLeft")
        eventually(page, f"view.state.epoch === {epoch} && view.context.found")
        value = explained(run, epoch, image, "conv1", (0, 1, 4, 4))
        eventually(page, f"document.querySelector('.why .value').textContent === '{shown(value)}'")
        kernel = page.locator(".equation figure:nth-of-type(2) td").all_inner_texts()
        expected = snapshots[epoch]["conv1.weight"][1, 0].ravel()
        np.testing.assert_allclose([float(text.replace("−", "-")) for text in kernel], expected, atol=6e-3)
    settle(page)
    assert "float16" in page.locator(".time .hint").inner_text()
    assert "untrained" in page.locator(".epoch").inner_text()
    eventually(page, "location.hash === '#epoch=0&at=conv1:1,4,4'")
    values = [explained(run, epoch, image, "conv1", (0, 1, 4, 4)) for epoch in (0, 4)]
    words = f"From {shown(values[0], 3)} at epoch 0 to {shown(values[1], 3)} at epoch 4."
    eventually(page, f"document.querySelector('.course .hint')?.textContent === '{words}'")


def drawn(page, strokes):
    box = page.locator("canvas.pad").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=6)
        page.mouse.up()


@pytest.mark.browser
def test_a_drawing_becomes_what_the_network_knows(page, run, living):
    opened(page, living)
    network = neocog.load(run / "model.neocog")
    for strokes, digit in (([SEVEN], "7"), (FOUR, "4")):
        page.get_by_role("button", name="Clear").click(force=True)
        drawn(page, strokes)
        eventually(page, f"document.querySelector('.verdict').textContent.startsWith('{digit},')")
        image = np.array(page.evaluate("Array.from(view.context.image())"), "float32").reshape(1, 1, 8, 8)
        assert set(np.unique(image * 16 % 1)) == {0}  # ink counted in blocks of 4 x 4
        assert 0.15 < image.mean() < 0.45
        assert image.max(axis=3)[0, 0].min() > 0  # the box fills the height
        assert network.predict(image)[0] == int(digit)
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("view.context.source") == "pad"
    page.get_by_role("button", name="Clear").click()
    assert page.evaluate("view.context.source") == "sample"


@pytest.mark.browser
def test_the_picture_is_pushed_by_the_arrow_keys(page, living):
    opened(page, living)
    before = np.array(page.evaluate("Array.from(view.context.image())")).reshape(8, 8)
    page.locator(".seen-frame").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    after = np.array(page.evaluate("Array.from(view.context.image())")).reshape(8, 8)
    np.testing.assert_array_equal(after[1:, 1:], before[:-1, :-1])
    page.locator(".sight").get_by_text(re.compile("^Pushed 1 down, 1 right. The logit of 0: ")).wait_for()
    page.keyboard.press("Home")
    np.testing.assert_array_equal(page.evaluate("Array.from(view.context.image())"), before.ravel())


@pytest.mark.browser
def test_a_number_is_followed_down_to_a_pixel_and_back(page, living):
    opened(page, living, "#at=dense:3")
    page.locator("button.term").first.click()
    assert page.evaluate("view.state.at.node") == "flatten"
    page.get_by_role("button", name="Follow the largest down to a pixel").click()
    trail = page.evaluate("[...view.state.trail, view.state.at].map(({node}) => node)")
    assert trail == ["dense", "flatten", "pool2", "relu2", "conv2", "pool1", "relu1", "conv1", "input"]
    settle(page)
    assert "where every number of the network begins" in page.locator(".why").inner_text()
    page.locator(".crumbs button").nth(4).click()
    assert page.evaluate("view.state.at.node") == "conv2"
    settle(page)
    assert page.locator(".crumbs button").count() == 4


@pytest.mark.browser
def test_by_keyboard_alone(page, living):
    opened(page, living)
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('[data-node=conv1] .maps')"):
            break
    at = page.evaluate("view.state.at")
    assert at["node"] == "conv1"  # begins at the largest
    c = at["index"][0]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("view.state.at.index") == [c, 1, 1]
    page.keyboard.press("PageDown")
    assert page.evaluate("view.state.at.index") == [min(7, c + 1), 1, 1]
    eventually(page, "document.activeElement.getAttribute('aria-label').includes('row 2, column 2: ')")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # the layer's name: opens it
    settle(page)
    assert page.locator('[data-node="conv1"] .kernel').count() == 8
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # "Show as numbers"
    page.keyboard.press("Tab") if not page.evaluate("document.activeElement.tagName === 'SUMMARY'") else None
    page.keyboard.press("Enter")
    eventually(page, "document.querySelectorAll('[data-node=\"conv1\"] table.grid tbody tr').length === 8")
    page.keyboard.press("Escape")
    assert page.evaluate("view.state.at") is None
    stops = page.locator(".layer .maps[tabindex='0']").count()
    assert stops == page.locator(".layer").count()


@pytest.mark.browser
def test_on_a_phone_by_touch(browser, living):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    complaints = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    opened(page, living)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """[...document.querySelectorAll("button, summary")].filter((b) => b.offsetParent)
        .map((b) => [b.getBoundingClientRect(), b.textContent])
        .filter(([r]) => r.height < 43.5 || r.width < 43.5)
        .map(([r, text]) => [r.width, r.height, text])"""
    )
    assert small == []
    maps = page.locator('[data-node="conv1"] .maps')
    maps.scroll_into_view_if_needed()
    maps.tap(position={"x": 20, "y": 20})
    sheet = page.locator(".why")
    sheet.wait_for(state="visible")
    box = sheet.bounding_box()
    assert box["y"] + box["height"] == pytest.approx(844, abs=1)
    assert box["height"] <= 0.57 * 844
    assert page.evaluate("view.state.at.node") == "conv1"
    page.get_by_label("Let go of the number").tap()
    sheet.wait_for(state="hidden")
    context.close()
    assert complaints == []


@pytest.mark.browser
def test_a_network_too_large_for_the_page_has_its_maps(page, run, tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "MULTIPLY_ADDS", 1)
    path = write_page(run, tmp_path / "large.html")
    opened(page, path, "#at=conv2:3,1,1")
    assert "no pad" in page.locator(".notes").inner_text()
    assert page.locator("canvas.pad").count() == 0
    assert "too large" in page.locator(".why").inner_text()
    image = np.array(page.evaluate("Array.from(view.context.image())"), "float32").reshape(1, 1, 8, 8)
    value = neocog.inspection.trace(neocog.load(run / "model.neocog"), image)["conv2"].y[0, 3, 1, 1]
    found = float(page.locator(".why .value").inner_text().replace("−", "-"))
    assert found == pytest.approx(float(value), rel=2e-3)
    page.locator(".sample").nth(1).click()
    settle(page)
    assert page.locator(".verdict").inner_text()[0].isdigit()


@pytest.mark.browser
def test_weights_that_are_no_numbers_are_said(page, tmp_path):
    network = neocog.models.tiny_cnn()
    network.params["conv1.weight"][0] = np.nan
    path = write_network_page(network, np.ones((1, 1, 8, 8)), tmp_path / "nan.html")
    opened(page, path, "#at=conv1:0,3,3")
    assert "not a number (NaN)" in page.locator(".verdict").inner_text()
    assert "no numbers (NaN)" in page.locator('[data-node="conv1"] .range').inner_text()
    assert "not a finite number" in page.locator(".why").inner_text()


NONSENSE = [
    "#epoch=-5&sample=1e9&at=conv1:99,99,99",
    "#epoch=NaN&at=<img src=x onerror=alert(1)>:1&open=nowhere&hide=%%%",
    "#&&&==&a&=b&epoch=&sample=&at=&at=:&__proto__=1&constructor=2",
    "#at=dense:1,2,3&epoch=1e400&lr=x&batch=0.5",
    "#" + "x" * 100_000,
]


@pytest.mark.browser
@pytest.mark.parametrize("anew", [True, False], ids=["opened with it", "changed to it"])
def test_nonsense_in_the_url_is_dropped_or_clamped(page, living, anew):
    opened(page, living)
    for place in NONSENSE:
        if anew:
            page.goto("about:blank")
        opened(page, living, place)
        assert page.evaluate("[0, 1, 2, 3, 4].includes(view.state.epoch)"), place
        assert page.evaluate("view.state.sample < view.context.model.samples.length"), place
        assert page.evaluate("view.state.at") is None, place
        assert page.locator(".verdict").inner_text(), place


@pytest.mark.browser
def test_a_state_goes_into_the_url_and_comes_back(module_page):
    code = """async (state) => {
      const { read, write } = await import("/state.js");
      return [write(state, { epoch: 10, sample: 0 }), read(write(state, { epoch: 10, sample: 0 }))];
    }"""
    state = {
        "epoch": 3,
        "sample": 0,
        "lr": 0.05,
        "at": {"node": "block.conv2", "index": [3, 1, 1]},
        "hide": ["lr", "batch"],
    }
    text, back = module_page.evaluate(code, state)
    assert text == "#lr=0.05&epoch=3&at=block.conv2:3,1,1&hide=lr,batch"
    assert back == {key: value for key, value in state.items() if key != "sample"}


@pytest.mark.browser
def test_a_damaged_page_is_not_blank(page, living, tmp_path):
    text = living.read_text(encoding="utf-8")
    data = re.search(r'id="data">(.*?)</script>', text)[1]
    path = tmp_path / "cut.html"
    path.write_text(text.replace(data, data[: len(data) // 2 // 4 * 4]), encoding="utf-8")
    page.goto(path.as_uri())
    assert "This page cannot be shown: " in page.locator("[role=alert]").inner_text()


@pytest.mark.browser
def test_pictures_are_drawn_as_people_see_them(page, living, colour, tmp_path):
    pixels = "[...document.querySelector('canvas.seen').getContext('2d').getImageData(0, 0, {0}, {0}).data]"
    path, images = colour
    opened(page, path)
    found = np.array(page.evaluate(pixels.replace("{0}", "12"))).reshape(12, 12, 4)[..., :3]
    np.testing.assert_allclose(found, 255 * images[0].transpose(1, 2, 0), atol=0.51)
    assert page.locator("canvas.pad").count() == 0
    own = np.zeros((24, 48, 3), np.uint8)
    own[:, 24:, 0] = 255  # the right half is red
    file = tmp_path / "own.png"
    Image.fromarray(own).save(file)
    page.get_by_label("Choose a picture of your own").set_input_files(file)
    eventually(page, "view.context.source === 'pad'")
    image = np.array(page.evaluate("Array.from(view.context.image())")).reshape(3, 12, 12)
    np.testing.assert_allclose(image[0, :, :5], 0, atol=0.01)
    np.testing.assert_allclose(image[0, :, 7:], 1, atol=0.01)
    np.testing.assert_allclose(image[1:], 0, atol=0.01)
    file.write_bytes(b"no picture")
    page.get_by_label("Choose a picture of your own").set_input_files(file)
    page.locator(".chooser [role=alert]").get_by_text("own.png is no picture").wait_for()
    opened(page, living)
    image = np.array(page.evaluate("Array.from(view.context.image())")).reshape(8, 8)
    found = np.array(page.evaluate(pixels.replace("{0}", "8"))).reshape(8, 8, 4)[..., 0]
    np.testing.assert_allclose(found, 255 * (1 - image), atol=0.51)  # 1 is ink


@pytest.mark.browser
def test_the_line_in_the_curves_stands_at_the_epoch(page, living):
    opened(page, living, "#epoch=1")
    shares = """[...document.querySelectorAll(".curve .u-over")].map((over) =>
      (over.querySelector(".now").getBoundingClientRect().x - over.getBoundingClientRect().x)
      / over.clientWidth)"""
    eventually(page, f"{shares}.length === 2")
    assert page.locator(".curve .key").all_text_contents() == 2 * ["training", "held out"]
    np.testing.assert_allclose(page.evaluate(shares), 0.25, atol=0.01)
    page.get_by_label("Epoch shown").press("End")
    eventually(page, "view.state.epoch === 4")
    settle(page)
    np.testing.assert_allclose(page.evaluate(shares), 1, atol=0.01)


@pytest.mark.browser
def test_a_kernel_slides_by_itself_until_it_is_taken(page, living):
    opened(page, living)
    first = page.evaluate("view.state.hover.index.join()")
    eventually(page, f"view.state.hover.index.join() !== '{first}'")
    assert page.evaluate("view.context.sliding")
    page.locator('[data-node="pool1"] .maps').hover(position={"x": 30, "y": 30})
    assert not page.evaluate("view.context.sliding")
    assert page.evaluate("view.context.pick().node") == "pool1"
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    eventually(page, "view.context.values().size > 1")
    assert not page.evaluate("view.context.sliding")


@pytest.mark.browser
def test_parts_are_hidden_by_the_url(page, living):
    opened(page, living, "#hide=why,time,nothing")
    panels = {
        name: page.locator(f'[data-panel="{name}"]').is_visible()
        for name in ("input", "answer", "why", "time")
    }
    assert panels == {"input": True, "answer": True, "why": False, "time": False}


def test_epochs_that_do_not_fit_are_left_out_and_that_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr(neocog.studio.page, "WEIGHT_BYTES", 4 * 1898 + 2 * 2 * 1898)
    header = neocog.studio.page.read_header(write_page(run, tmp_path / "a.html"))
    assert header["epochs"] == [0, 2, 4]
    assert dict(header["precisions"]) == {0: "float16", 2: "float16", 4: "float32"}
    assert "2 more stored epochs are not in this page" in header["notes"][-1]
    monkeypatch.setattr(neocog.studio.page, "WEIGHT_BYTES", 1000)
    header = neocog.studio.page.read_header(write_page(run, tmp_path / "b.html"))
    assert not header["description"]["page"]
    assert "too many for a page" in header["notes"][-1]


def test_the_epoch_that_was_kept_is_the_one_shown(tmp_path):
    settings = settings_for(
        "lines-b", epochs=6, kernels="im2col", keep_best="accuracy", validation=0.2, lr=0.2
    )
    result = runs.train(settings, tmp_path / "run")
    header = neocog.studio.page.read_header(write_page(tmp_path / "run"))
    assert header["start"] == result.kept_epoch
    assert result.kept_epoch < 6
    assert header["epochs"] == sorted({*header["epochs"], result.kept_epoch})
    assert dict(header["precisions"])[result.kept_epoch] == "float32"
    assert header["epochs"][-1] == 6


@pytest.mark.browser
def test_maps_that_do_not_fit_are_left_out_and_that_is_said(page, run, tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "MULTIPLY_ADDS", 1)
    monkeypatch.setattr(neocog.studio.page, "MAP_NUMBERS", 4000)
    path = write_page(run, tmp_path / "large.html")
    header = neocog.studio.page.read_header(path)
    kept = {node["name"]: (node["shape"], node.get("whole")) for node in header["description"]["nodes"]}
    assert kept["conv2"] == ([4, 4, 4], [16, 4, 4])
    assert kept["dense"] == ([10], None)
    opened(page, path, "#at=dense:3")
    assert "16 maps of 4 × 4" in page.locator('[data-node="conv2"]').inner_text()
    assert "those of 5 images" in page.locator(".notes").inner_text()
    assert page.locator(".sample").count() == 5
    assert page.locator(".bar").count() == 10


@pytest.mark.browser
def test_answers_of_other_kinds(page, tmp_path, rng):
    """Probabilities as predict_proba gives them; one number as it is; a signal is drawn as a band."""
    x = rng.normal(size=(1, 1, 8, 8)).astype("float32")
    ends = {"logits": [], "softmax": [neocog.layers.Softmax()], "sigmoid": [neocog.layers.Sigmoid()]}
    for name, end in ends.items():
        network = neocog.layers.Sequential(neocog.layers.Flatten(), neocog.layers.Dense(64, 3, rng=0), *end)
        network.input_shape = (1, 8, 8)
        if name != "sigmoid":
            network.class_weight = (1.0, 4.0, 0.5)
        expected = network.predict_proba(x)[0] if name != "sigmoid" else network.predict_logits(x)[0]
        opened(page, write_network_page(network, x, tmp_path / f"{name}.html"))
        widths = [bar.evaluate("(bar) => parseFloat(bar.style.width)") for bar in page.locator(".fill").all()]
        np.testing.assert_allclose(widths, 100 * expected, atol=1e-3)
    network = neocog.layers.Sequential(
        neocog.layers.Conv2D(1, 2, (1, 3), rng=0),
        neocog.layers.Flatten(),
        neocog.layers.Dense(2 * 38, 1, rng=1),
    )
    network.input_shape = (1, 1, 40)
    x = rng.normal(size=(1, 1, 1, 40)).astype("float32")
    opened(page, write_network_page(network, x, tmp_path / "signal.html"))
    assert page.locator(".verdict").inner_text() == shown(network.predict_logits(x).item())
    assert page.locator('[data-node="input"] .maps').bounding_box()["height"] >= 14


@pytest.mark.browser
def test_nothing_stands_beyond_the_edge(page, living):
    opened(page, living, "#at=conv2:3,1,1&open=conv1,conv2")
    for width in (2560, 1440, 1024, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 800})
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
