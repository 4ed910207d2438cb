"""The studio, driven as people drive it: a real server, a real browser, no stand-ins.

Each test names the things of the design that it drives: "thing 7" is the seventh of the fifteen that no other
tool does.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neocog
import neocog.studio
from neocog.runs import RunDirectory

pytestmark = pytest.mark.browser

MODEL = "neocogStudio.model"
STATE = "neocogStudio.view.state"
WEIGHTS = "model.live.get('conv1.weight').data"
TWIN = "neocogStudio.view.comparison.view.state"


@contextlib.contextmanager
def running(runs, *what):
    """A studio in a process of its own: the process, and its address with the token."""
    command = [sys.executable, "-m", "neocog", "studio", *what, "--no-browser", "--port", "0"]
    command += ["--runs", str(runs)]
    environment = os.environ | {"COLUMNS": "300", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield process, found.group()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.stdout.read()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A studio that ends with the file's tests: its address, with the token, and its folder of runs."""
    runs = tmp_path_factory.mktemp("studio") / "runs"
    with running(runs) as (_, address):
        yield address, runs


@pytest.fixture
def studio(server, page):
    """A page of the studio that shows the untrained network of the digits."""
    page.set_default_timeout(10_000)
    return opened(page, server[0])


def opened(page, address, state=""):
    page.goto(address)
    if state:
        page.goto(re.sub(r"\?.*", "", address) + state)
    until(page, f"{MODEL}.latest && {MODEL}.remote")
    return page


def until(page, condition):
    """Wait until an expression holds in the page; its policy forbids `wait_for_function`, which evaluates."""
    page.evaluate(
        f"""async () => {{
          const end = performance.now() + 60000;
          const holds = () => {{ try {{ return {condition}; }} catch {{ return false; }} }};
          while (!holds()) {{
            if (performance.now() > end) throw new Error("never came true: " + {json.dumps(condition)});
            await new Promise(requestAnimationFrame);
          }}
        }}"""
    )


def wait(page, condition):
    """Wait until an expression of `model` and `state` holds in the page."""
    until(page, f"((model, state) => {condition})({MODEL}, {STATE})")


def says(page, selector, pattern):
    """Wait until the text of an element matches a pattern."""
    text = f"document.querySelector({json.dumps(selector)}).textContent"
    until(page, f"new RegExp({json.dumps(pattern)}).test({text})")


def value(page, expression):
    return page.evaluate(f"() => {{ const model = {MODEL}, state = {STATE}; return {expression}; }}")


def steps(page, unit, count):
    """Step so many batches or epochs, by the button; return when the page shows them."""
    for _ in range(count):
        wait(page, "model.latest")
        epoch, batch = value(page, "[model.latest.epoch, model.latest.batch]")
        page.click(f'[data-step="{unit}"]')
        if unit == "epoch":
            then = f"model.latest.epoch === {epoch + 1} && model.latest.batch === 0"
        else:
            then = f"model.latest.batch === {batch + 1}"
        wait(page, f"{then} && !model.remote.playing")


def tool(page, title, view="train"):
    page.click(f'.tabs [data-view="{view}"]')
    page.get_by_role("tab", name=title, exact=True).click()
    return page.locator(f'[data-tool="{title}"]')


def draw(page, selector, points):
    """Draw a line on a pad; the pen stays down."""
    box = page.locator(selector).bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)


ONE = [(0.35, 0.3), (0.52, 0.12), (0.52, 0.9)]


def test_a_newcomer_trains_draws_and_finds_out_why(studio):
    """Things 1, 3, 4."""
    page = studio
    page.click(".play-training")
    wait(page, "(model.history.val_accuracy ?? []).at(-1) > 0.8 && model.remote.epochs.length > 4")
    page.click(".play-training")
    wait(page, "!model.remote.playing")
    draw(page, ".panel.input canvas.pad", ONE)
    until(page, "document.querySelector('.panel.answer .verdict').textContent.startsWith('1,')")
    page.mouse.up()  # the answer was there during the stroke

    page.locator('.layer[data-node="conv1"] .maps').click(position={"x": 30, "y": 30})
    wait(page, "state.at && state.at.node === 'conv1'")
    page.wait_for_selector(".panel.why .equation")
    at = value(page, "state.at")
    page.click(".panel.why button.term >> nth=0")  # the bias may be the largest; it leads nowhere
    wait(page, "state.at.node === 'input'")
    page.click(".panel.why .crumb >> nth=0")
    wait(page, f"JSON.stringify(state.at) === {json.dumps(json.dumps(at, separators=(',', ':')))}")

    now = page.inner_text(".panel.why .headline .value")
    slider = page.get_by_label("Epoch shown")
    slider.focus()
    page.keyboard.press("Home")
    wait(page, "state.epoch === 0 && model.weights(0)")
    until(page, f"document.querySelector('.panel.why .headline .value').textContent !== {json.dumps(now)}")
    assert value(page, "state.at") == at  # the same pixel at another time
    page.get_by_text("Back to now").click()
    wait(page, "state.epoch === model.now")


def test_a_button_that_is_pressed_or_focused_stays_while_the_numbers_change(studio):
    page = studio
    page.locator('.layer[data-node="conv1"] .maps').click(position={"x": 30, "y": 30})
    term = "button.term >> nth=0"
    page.wait_for_selector(term)
    page.focus(term)
    steps(page, "batch", 1)
    page.focus(term)
    page.evaluate("document.querySelector('[data-step=batch]').click()")
    wait(page, "model.latest.batch === 2")
    assert page.evaluate("document.activeElement.className") == "term"
    page.locator(term).scroll_into_view_if_needed()
    box = page.locator(term).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 8)
    page.mouse.down()
    page.evaluate("document.querySelector('[data-step=batch]').click()")
    wait(page, "model.latest.batch === 3")
    page.mouse.up()
    wait(page, "state.at.node === 'input'")


def test_training_is_paused_stepped_slowed_rewound_and_branched(studio):
    """Thing 11."""
    page = studio
    steps(page, "batch", 3)
    assert value(page, "[model.latest.epoch, model.latest.batch]") == [0, 3]
    steps(page, "epoch", 1)
    assert value(page, "[model.latest.epoch, model.latest.batch]") == [1, 0]
    steps(page, "epoch", 1)
    page.get_by_label("Speed").select_option("10 a second")
    wait(page, "model.remote.speed === 10")
    page.click(".play-training")
    page.click(".tabs [data-view=train]")
    page.fill("#set-lr", "0.02")
    page.keyboard.press("Enter")
    wait(page, "model.remote.playing && model.remote.settings.lr === 0.02")  # while it runs
    page.select_option("#set-batch", "32")
    wait(page, "model.remote.playing && model.remote.settings.batch_size === 32")
    page.click(".play-training")
    wait(page, "!model.remote.playing")
    page.get_by_label("Speed").select_option("as fast as it can")

    page.get_by_label("Epoch shown").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait(page, "state.epoch === 1")
    page.click("text=Branch …")
    page.fill("#branch-rate", "0.2")
    page.get_by_role("button", name="Branch", exact=True).click()
    wait(page, "model.remote.branches.length === 1 && model.remote.settings.lr === 0.2")
    wait(page, "model.latest.epoch > 1")
    page.click(".play-training")
    page.wait_for_selector(".key-other >> nth=0")  # both runs of one beginning on one chart
    assert page.locator(".curve .key-other").count() == 2
    wait(page, "!model.remote.playing")
    page.click("text=Rewind")
    wait(page, "model.latest.epoch === 0 && model.latest.batch === 0")

    page.select_option("#set-data", "lines")
    wait(page, "model.hello.data.id === 'lines' && model.latest && model.remote.epoch === 0")
    label = value(page, "model.description.class_names[model.samples[0].label]")
    page.wait_for_selector(f".sample >> nth=0 >> text={label}")
    page.fill("#set-lr", "fast")
    page.keyboard.press("Enter")
    assert "“fast” is not a number" in page.inner_text(".settings .status")
    assert float(page.input_value("#set-lr")) == value(page, "model.remote.settings.lr")
    page.select_option("#set-network", "lenet5")  # needs larger images
    says(page, ".settings .status", "larger than the")
    until(page, "document.querySelector('#set-network').value !== 'lenet5'")
    page.fill("#set-seed", "7")
    page.keyboard.press("Enter")
    wait(page, "model.remote.settings.seed === 7 && model.latest.epoch === 0")
    until(page, "location.hash.includes('seed=7')")


def test_a_network_is_built_from_blocks_and_what_is_wrong_is_said_beside_the_block(studio):
    page = studio
    page.click(".tabs [data-view=train]")
    page.click("#set-blocks")
    blocks = page.locator(".builder .block")
    blocks.nth(0).wait_for()
    assert "8 × 8 × 8" in blocks.nth(0).inner_text()
    assert "80 parameters" in blocks.nth(0).inner_text()
    blocks.nth(0).get_by_label("maps").fill("5")
    page.keyboard.press("Tab")
    until(page, "document.querySelector('.builder .block').textContent.includes('5 × 8 × 8')")
    page.get_by_role("button", name="Remove Flatten").click()
    page.wait_for_selector(".builder .block.wrong .problem")
    assert "Dense needs a row of numbers" in page.inner_text(".builder .block.wrong")
    assert page.get_by_role("button", name="Train this network").is_disabled()
    page.locator(".adder").get_by_role("button", name="Flatten").click()
    page.wait_for_selector(".builder .block.wrong", state="detached")
    assert "sees 3 × 3" in blocks.nth(0).inner_text()
    page.locator(".adder").get_by_role("button", name="Residual block").click()
    until(
        page, "document.querySelectorAll('.builder .block')[6].dataset.kind === 'Residual'"
    )  # before Flatten
    page.wait_for_selector(".builder .block.wrong", state="detached")
    blocks.nth(0).get_by_label("bias").uncheck()
    until(page, "document.querySelector('.builder .block').textContent.includes('45 parameters')")
    page.get_by_role("button", name="Train this network").click()
    wait(page, "model.remote.network !== 'digits-cnn' && model.description.nodes[0].shape[0] === 5")
    assert value(page, "model.description.nodes.some(({ name }) => name === 'block1.add')")
    steps(page, "epoch", 1)


def test_a_network_too_large_for_the_page_is_computed_by_python_and_explained(studio):
    page = studio
    conv = {"kind": "Conv2D", "channels": 192, "kernel": 5, "padding": 2}
    blocks = [conv, {"kind": "ReLU"}, conv, {"kind": "GlobalAvgPool2D"}, {"kind": "Dense"}]
    page.evaluate(f"{MODEL}.send('set', {{ blocks: {json.dumps(blocks)} }})")
    wait(page, "model.description.page === false && model.latest && model.description.nodes.length === 5")
    draw(page, ".panel.input canvas.pad", ONE)
    page.mouse.up()
    says(page, ".panel.answer .verdict", r"\d %")
    page.locator('.layer[data-node="conv2"] .maps').click(position={"x": 30, "y": 30})
    page.wait_for_selector(".panel.why button.term")
    found = page.inner_text(".panel.why .headline .value").replace("−", "-")
    at = value(page, "state.at.index")
    asked = page.evaluate(
        f"async () => [...(await {MODEL}.send('measure', {{ what: 'maps' }})).arrays.get('conv2').data]"
    )
    assert float(found) == pytest.approx(np.reshape(asked, (192, 8, 8))[tuple(at)], rel=1e-3, abs=1e-3)


def test_a_loss_that_is_no_number_is_said_where_it_arose_and_training_begins_again(studio):
    page = studio
    steps(page, "epoch", 1)
    panel = tool(page, "Weights")
    panel.locator(".weight").nth(0).click()
    panel.get_by_label("Weight", exact=True).fill("1e30")
    page.keyboard.press("Enter")
    wait(page, "model.remote.undo === 1")
    page.click(".play-training")
    says(page, ".panel.transport .status", "the loss is not finite in epoch 2, .* in layer '")
    wait(page, "!model.remote.playing")
    assert page.locator(".layer").count() > 5
    page.click("text=Rewind")
    wait(page, "model.latest.epoch === 0 && !model.remote.problem")
    steps(page, "epoch", 1)
    wait(page, "Number.isFinite(model.history.train_loss.at(-1))")


def test_weights_are_edited_and_kernels_painted_and_accuracy_follows_at_once(studio):
    """Thing 7."""
    page = studio
    steps(page, "epoch", 6)
    panel = tool(page, "Weights")
    before = value(page, f"Array.from({WEIGHTS})")
    panel.locator(".weight").nth(4).click()
    panel.get_by_label("Weight", exact=True).fill("3")
    page.keyboard.press("Enter")
    wait(page, f"{WEIGHTS}[4] === 3 && model.remote.undo === 1")
    says(page, "[data-tool=Weights] .status", r"Held-out accuracy [\d.]+\s% → [\d.]+\s%")
    panel.locator('[data-stamp="→ edge"]').click()
    wait(page, "model.remote.undo === 2")
    kernel = value(page, f"Array.from({WEIGHTS}.slice(0, 9))")
    assert kernel[0] == kernel[3] == -kernel[2] < 0 == kernel[1]
    panel.get_by_label("paint with").check()
    draw(page, "[data-tool=Weights] .weights", [(0.06, 0.2), (0.06, 0.85)])
    page.mouse.up()
    wait(page, "model.remote.undo === 3")
    wait(page, f"[0, 3, 6].every((k) => {WEIGHTS}[k] > 0)")
    for left in (2, 1, 0):
        panel.get_by_role("button", name="Undo").click()
        wait(page, f"model.remote.undo === {left}")
    wait(page, f"{WEIGHTS}[4] !== 3 && {WEIGHTS}[0] === {before[0]!r}")
    assert np.allclose(value(page, f"Array.from({WEIGHTS})"), before)
    steps(page, "batch", 1)  # and training goes on from here


def test_a_gradient_is_followed_proven_and_its_step_taken(studio):
    """Things 6 and 10."""
    page = studio
    steps(page, "batch", 5)
    panel = tool(page, "Weights")
    panel.locator(".weight").nth(0).click()
    panel.get_by_role("button", name="Why will it move?").click()
    panel = page.locator('[data-tool="Gradient"]')
    panel.locator(".contribution").nth(2).click()
    assert panel.locator(".product").count() > 0
    panel.get_by_role("button", name="Take exactly this step").click()
    says(page, "[data-tool=Gradient] .outcome", r"Exactly\.")
    assert value(page, "model.latest.batch") == 6

    panel = tool(page, "Prove it")
    slider = panel.get_by_label("Nudge, as a power of ten")
    slider.fill("0")
    says(page, '[data-tool="Prove it"] .verdict-small', r"differ by")
    slider.fill("-4")
    says(page, '[data-tool="Prove it"] .verdict-small', r"They meet")


def test_it_is_broken_on_purpose(studio):
    """Thing 9."""
    page = studio
    panel = tool(page, "Break it")
    panel.get_by_text("Zeros at the start").click()
    wait(page, f"model.remote.settings.start === 'zeros' && {WEIGHTS}.every((w) => w === 0)")
    panel.get_by_text("Zeros at the start").click()
    wait(page, f"model.remote.settings.start === 'usual' && {WEIGHTS}.some((w) => w !== 0)")
    panel.get_by_text("Shuffled labels").click()
    wait(page, "model.remote.settings.labels === 'shuffled'")
    panel.get_by_text("Shuffled labels").click()
    wait(page, "model.remote.settings.labels === 'true'")
    steps(page, "epoch", 2)
    panel.get_by_label("In place of relu1").select_option("none")
    wait(page, "model.remote.swapped.relu1 === 'none'")
    says(page, '[data-tool="Break it"] .status', r"relu1 is gone.*Held-out accuracy")
    panel.get_by_text("Learning rate × 100").click()
    wait(page, "model.remote.settings.lr === 5")
    page.click(".play-training")
    wait(page, "model.remote.problem !== '' || model.history.val_accuracy?.at(-1) < 0.5")
    assert page.locator(".neocog main").is_visible()


def test_mistakes_are_opened_relabelled_and_explained_by_maps(studio):
    """Thing 13."""
    page = studio
    steps(page, "epoch", 3)
    panel = tool(page, "Mistakes")
    panel.locator(".mistake").nth(0).wait_for()
    wrong = panel.locator(".matrix .cell")
    counted = int(re.match(r"\d+", panel.locator(".status").inner_text()).group())
    assert sum(int(text) for text in wrong.all_inner_texts()) == counted
    sure = [float(text.split()[0]) for text in panel.locator(".mistake small").all_inner_texts()]
    assert sure == sorted(sure, reverse=True)  # the surest first
    wrong.nth(0).click()
    page.wait_for_selector(".cell.on")
    panel.locator(".mistake .thumb").nth(0).click()
    wait(page, "state.image !== null")
    said = panel.locator(".mistake figcaption b").nth(0).inner_text()
    until(page, f"document.querySelector('.panel.answer .verdict').textContent.startsWith('{said},')")
    name = panel.locator(".mistake select").nth(0)
    name.select_option(said)
    panel.get_by_role("button", name="Train on with the new labels").click()
    wait(page, "model.latest.epoch > 3")
    page.click(".play-training")
    wait(page, "!model.remote.playing")

    panel = tool(page, "Heatmaps", "why")
    until(page, "document.querySelectorAll('[data-tool=Heatmaps] .heatmap canvas.map').length === 3")
    names = panel.locator(".heatmap figcaption b").all_inner_texts()
    assert names == ["saliency", "grad-cam", "occlusion"]


def test_gradients_dead_units_and_the_landscape_are_live(studio):
    """Thing 15."""
    page = studio
    panel = tool(page, "Gradients and dead units")
    panel.locator(".health-row").nth(2).wait_for()
    assert panel.locator('[data-node="conv1"] canvas.small').count() == 8
    assert re.search("alive|dead", panel.locator('[data-node="relu1"]').inner_text())
    panel = tool(page, "Loss landscape")
    says(page, '[data-tool="Loss landscape"] .status', r"Loss here")
    before = panel.locator(".status").inner_text()
    steps(page, "epoch", 1)
    says(page, '[data-tool="Loss landscape"] .status', f"^(?!{re.escape(before)})")


def test_own_classes_are_drawn_and_learned(studio, tmp_path):
    """Thing 5."""
    page = studio
    page.click(".tabs [data-view=mine]")
    page.get_by_label("Name of class 1").fill("bar")
    page.keyboard.press("Enter")
    page.get_by_label("Name of class 2").fill("dash")
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Train on these").is_disabled()
    lines = {"bar": [(0.5, 0.1), (0.5, 0.9)], "dash": [(0.1, 0.5), (0.9, 0.5)]}
    for shift in (-0.05, 0.0, 0.05):
        for name, line in lines.items():
            draw(page, ".panel.mine canvas.pad", [(x + shift, y + shift) for x, y in line])
            page.mouse.up()
            page.get_by_role("region", name=f"Class {name}").get_by_text("Keep the drawing here").click()
    page.get_by_role("button", name="Train on these").click()
    wait(page, "model.hello.data.own && model.latest && model.latest.epoch >= 30 && !model.remote.playing")
    draw(page, ".panel.mine canvas.pad", [(0.55, 0.15), (0.5, 0.8)])
    until(page, "document.querySelector('.mine-answer').textContent === 'It says bar.'")
    page.mouse.up()

    photo = tmp_path / "photo.png"  # photographs and drawings together
    Image.fromarray(np.uint8(255 - 200 * np.eye(40))).save(photo)
    page.get_by_text("another class").click()
    bins = page.locator(".bin")
    bins.nth(2).locator("input[type=file]").set_input_files([photo] * 3)
    until(page, "document.querySelectorAll('.bin')[2].querySelectorAll('.thumb').length === 3")
    page.get_by_role("button", name="Train on these").click()
    wait(page, "model.description.class_names.length === 3 && model.latest?.epoch > 0")
    page.click(".tabs [data-view=compare]")
    page.locator(".comparison-head").get_by_role("button", name="Compare").click()
    says(page, ".comparison .status", "these lie in this session only")


def test_two_networks_are_compared_on_one_input(studio):
    """Thing 14."""
    page = studio
    page.click(".tabs [data-view=compare]")
    page.get_by_label("Its value").fill("0.5")
    page.locator(".comparison-head").get_by_role("button", name="Compare").click()
    page.wait_for_selector(".second .layer")
    wait(page, "model.twins?.length === 1 && model.twins[0].latest")
    other = value(page, "Array.from(model.twins[0].live.get('conv1.weight').data)")
    assert value(page, f"Array.from({WEIGHTS})") == other  # the same beginning
    page.locator('.layers >> nth=0 >> .layer[data-node="conv1"] .maps').click(position={"x": 30, "y": 30})
    wait(page, "state.at !== null")
    until(page, f"{TWIN}.at?.node === 'conv1'")  # the linked pointer
    assert page.evaluate(f"{TWIN}.at") == value(page, "state.at")
    for epoch in (1, 2):
        page.click('[data-step="epoch"]')
        there = f"latest.epoch === {epoch} && latest.batch === 0"
        wait(page, f"[model, model.twins[0]].every(({{ latest }}) => {there})")
    page.wait_for_selector(".curve .key-other >> text=B")
    assert page.locator(".second-answer .verdict").inner_text()
    page.click(".tabs [data-view=look]")
    wait(page, "model.twins.length === 0")  # the second is not trained where nobody looks


def test_the_picture_is_pushed_by_the_arrow_keys(studio):
    """Thing 12."""
    page = studio
    before = value(page, "Array.from(neocogStudio.view.context.values().get('conv1').data.slice(0, 64))")
    page.locator(".seen-frame").focus()
    page.keyboard.press("ArrowRight")
    wait(page, "state.shift.join() === '0,1'")
    after = value(page, "Array.from(neocogStudio.view.context.values().get('conv1').data.slice(0, 64))")
    moved, stood = np.reshape(after, (8, 8)), np.reshape(before, (8, 8))
    assert np.allclose(moved[1:-1, 3:-1], stood[1:-1, 2:-2])  # equivariance


def test_a_run_is_saved_opened_again_and_written_as_page_and_report(server, studio):
    """Things 2 and 8: the living page, and a link that carries the state."""
    page, (_, runs) = studio, server
    steps(page, "epoch", 2)
    page.click(".menu summary >> text=Save")
    page.click("[data-save=run]")
    says(page, ".views .status", r"Saved in")
    session = value(page, "model.remote.session")
    saved = RunDirectory(runs / session).result()
    assert [row["epoch"] for row in saved.history.rows] == [0, 1, 2]
    weights = value(page, f"Array.from({WEIGHTS})")
    for kind, most in (("page", 400_000), ("report", 20_000_000)):
        page.click(".menu summary >> text=Save")
        with page.expect_download(timeout=20_000) as download:
            page.click(f"[data-save={kind}]")
        path = Path(download.value.path())
        assert 10_000 < path.stat().st_size < most
        assert path.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")
    page.get_by_role("button", name="Share").click()
    says(page, ".views .status", "link")
    link = value(page, "model.link()")
    assert "net=digits-cnn" in link
    assert "token" not in link
    page.reload()  # comes back to the same session and state
    wait(page, "model?.latest?.epoch === 2")
    assert value(page, "model.remote.session") == session
    assert value(page, f"Array.from({WEIGHTS})") == weights
    page.evaluate("sessionStorage.clear()")
    page.goto("about:blank")
    page.goto(link)
    wait(page, "model?.latest?.epoch === 2 && !model.remote.playing")  # trained to the same place
    assert value(page, "model.remote.session") != session
    assert np.allclose(value(page, f"Array.from({WEIGHTS})"), weights)
    page.click(".menu summary >> text=Save")
    page.select_option("text=Open a run >> select", session)
    wait(page, f"model.remote.session.includes('{session}') && model.latest?.epoch === 2")


def test_a_page_of_another_version_says_so(server, page):
    remote = Path(neocog.studio.__file__).parent / "web" / "remote.js"
    old = remote.read_text(encoding="utf-8").replace("VERSION = 1;", "VERSION = 99;")
    page.route("**/remote.js", lambda route: route.fulfill(body=old, content_type="text/javascript"))
    page.goto(server[0])
    page.wait_for_selector("#notice[data-status=refused]")
    assert "version 99" in page.inner_text("#notice")
    assert page.get_by_role("button", name="Reload").is_visible()


def test_a_lesson_trains_its_network_and_checks_answers(server, page):
    """Thing 8."""
    page.set_default_timeout(20_000)
    opened(page, server[0])
    page.click("text=Lessons")
    page.click("text=ReLU, and units that die")
    page.wait_for_selector(".panel.lesson .question")
    assert value(page, "model.remote.epoch") == 5
    assert value(page, "model.remote.settings.lr") == 0.2
    page.get_by_label("Your answer").fill("1")
    page.keyboard.press("Enter")
    says(page, ".question .verdict", ".")
    assert page.locator(".question .verdict.right").count() == 0
    page.get_by_label("Your answer").fill("0")
    page.keyboard.press("Enter")
    page.wait_for_selector(".question .verdict.right")
    page.click(".tabs [data-view=train]")
    page.wait_for_selector("[data-setting=momentum]", state="attached")
    assert page.locator("[data-setting=lr]").is_hidden()  # as the lesson wants


@pytest.mark.nightly
def test_the_lesson_on_overfitting_has_ten_images_of_each_class(server, page):
    """As its preset says; its question is about the run that the studio then has."""
    page.set_default_timeout(60_000)
    opened(page, server[0])
    page.click("text=Lessons")
    page.click("text=Overfitting and augmentation")
    page.get_by_role("button", name="Next").click()
    page.wait_for_selector(".panel.lesson .question")
    assert value(page, "model.remote.epoch") == 60
    assert value(page, "model.hello.data.train") == 100
    until(page, f"{MODEL}.history.epoch.length === 61")
    best = int(np.argmin(value(page, "model.history.val_loss")))
    page.get_by_label("Your answer").fill(str(best + 1))
    page.keyboard.press("Enter")
    says(page, ".question .verdict", ".")
    assert page.locator(".question .verdict.right").count() == 0
    page.get_by_label("Your answer").fill(str(best))
    page.keyboard.press("Enter")
    page.wait_for_selector(".question .verdict.right")


def test_pictures_are_dropped_and_nonsense_is_answered_by_a_sentence(server, studio, tmp_path):
    page = studio
    digit = neocog.data.digits().test[0][0, 0]
    Image.fromarray(np.uint8(255 - 255 * np.kron(digit, np.ones((20, 20))))).save(tmp_path / "digit.png")
    (tmp_path / "notes.txt").write_text("no picture")
    dropped = """async ([name, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], name));
      dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    }"""
    page.evaluate(dropped, ["digit.png", list((tmp_path / "digit.png").read_bytes())])
    wait(page, "state.image !== null")
    assert value(page, "state.image.length") == 64
    page.complaints.clear()
    page.evaluate(dropped, ["notes.txt", list((tmp_path / "notes.txt").read_bytes())])
    until(page, "document.querySelector('.panel.transport .status').classList.contains('bad')")
    assert "notes.txt" in page.inner_text(".panel.transport .status")
    page.complaints[:] = [line for line in page.complaints if "400" not in line]  # the browser's own line
    page.evaluate("sessionStorage.clear()")
    page.goto("about:blank")
    nonsense = "#view=nowhere&data=../../etc&net=%zz&lr=1e999&epoch=-4&at=conv1:99,99,99&hide=&x=<b>"
    opened(page, server[0], nonsense)
    assert page.locator(".play-training").is_visible()
    assert value(page, "model.hello.data.id") == "digits"


def test_a_folder_a_dropped_connection_and_a_stopped_server(page, tmp_path):
    x, y = neocog.data.digits().train
    for name, digit in (("zeros", 0), ("ones", 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k, image in enumerate(x[y == digit][:20, 0]):
            Image.fromarray(np.uint8(255 * image)).save(tmp_path / "photos" / name / f"{k}.png")
    with running(tmp_path / "runs", str(tmp_path / "photos")) as (process, address):
        page.set_default_timeout(10_000)
        opened(page, address)
        steps(page, "epoch", 2)
        session = value(page, "model.remote.session")
        assert sorted(value(page, "model.description.class_names")) == ["ones", "zeros"]

        other = page.context.new_page()  # takes the session over, as a duplicated tab does
        other.add_init_script(f"sessionStorage.setItem('neocog-session', '{session}')")
        opened(other, re.sub(r"\?.*", "", address))
        page.wait_for_selector("#notice[data-status=taken]")
        page.get_by_text("Take it back").click()
        other.wait_for_selector("#notice[data-status=taken]")
        other.close()
        wait(page, "model.status === 'open'")

        page.evaluate(f"{MODEL}.socket.close()")
        page.wait_for_selector("#notice[data-status=lost]")
        wait(page, "model.status === 'open' && model.latest?.epoch === 2")
        assert page.locator("#notice").is_hidden()
        assert value(page, "model.remote.session") == session
        process.send_signal(signal.SIGINT)
        page.wait_for_selector("#notice[data-status=ended]")
        assert session in page.inner_text("#notice")  # what was trained is saved there
        process.wait(20)
        assert RunDirectory(tmp_path / "runs" / session).result().history.rows[-1]["epoch"] == 2
        page.click('[data-step="batch"]')
        says(page, ".panel.transport .status", r"no connection")
