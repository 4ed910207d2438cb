"""What the page keeps of a session's messages, without a server."""

import pytest

pytestmark = pytest.mark.browser

SESSION = """
  const { Remote } = await import("/remote.js");
  class Told extends Remote {
    connect() {
      this.status = "open";
      this.socket = { readyState: WebSocket.OPEN, send: (text) => asked.push(JSON.parse(text)) };
    }
  }
  const asked = [];
  const model = new Told({});
  const about = { version: 1, description: { nodes: [] }, data: { id: "x" } };
  const hello = (labels, pixel) => model.on_hello(
    { ...about, samples: labels.map((label) => ({ label })) },
    new Map([["samples", { shape: [2, 1, 1, 1], data: Float32Array.of(pixel, 1) }]]));
"""


def test_parameters_of_epochs_that_training_left_are_asked_for_again(module_page):
    """Also where it has come past them again before the page is told where it stands."""
    code = f"""async () => {{{SESSION}
      hello([0, 1], 0);
      const state = (...epochs) => model.on_state({{ epochs, batches: 5, playing: true }});
      state(0, 1, 2);
      model.on_row({{ rows: [{{ epoch: 0 }}, {{ epoch: 1 }}, {{ epoch: 2 }}], anew: true }});
      const old = new Map([["w", 1]]);
      model.on_snapshot({{ epoch: 2, exact: true }}, old);
      const before = model.weights(2) === old;
      model.on_row({{ rows: [{{ epoch: 3 }}], anew: false }});
      const kept = model.weights(2) === old;
      model.on_row({{ rows: [{{ epoch: 0 }}, {{ epoch: 1 }}, {{ epoch: 2 }}], anew: true }});
      state(0, 1, 2);
      asked.length = 0;
      return [before, kept, model.weights(2) ?? null, asked, model.rows.length];
    }}"""
    again = {"kind": "want", "epoch": 2}
    assert module_page.evaluate(code) == [True, True, None, [again], 3]


def test_rows_are_added_to_the_columns_of_the_history(module_page):
    """A column that comes late has NaN before; a history that begins anew holds nothing of the old."""
    code = f"""async () => {{{SESSION}
      const named = (_, value) => (value !== value ? "NaN" : value);
      const shown = () => JSON.parse(JSON.stringify(model.history, named));
      model.on_row({{ rows: [{{ epoch: 0, loss: 2 }}], anew: false }});
      model.on_row({{ rows: [{{ epoch: 1, loss: 1, lr: 5 }}, {{ epoch: 2, lr: 6 }}], anew: false }});
      const grown = shown();
      model.on_row({{ rows: [{{ epoch: 0 }}], anew: true }});
      return [grown, shown()];
    }}"""
    grown = {"epoch": [0, 1, 2], "loss": [2, 1, "NaN"], "lr": ["NaN", 5, 6]}
    assert module_page.evaluate(code) == [grown, {"epoch": [0]}]


def test_a_sample_has_its_new_label_where_the_images_stay(module_page):
    code = f"""async () => {{{SESSION}
      hello([0, 1], 0);
      const first = model.samples[0].image;
      hello([2, 1], 0);
      const same = model.samples[0].image === first;
      const labels = model.samples.map(({{ label }}) => label);
      hello([2, 1], 0.5);
      return [same, labels, model.samples[0].image[0]];
    }}"""
    assert module_page.evaluate(code) == [True, [2, 1], 0.5]


def test_several_labels_are_shown_scored_and_corrected_each_on_its_own(module_page):
    code = """async () => {
      const { mistakesPanel } = await import("/mistakes.js");
      const { Model } = await import("/model.js");
      const sent = [];
      const model = new Model({ description: { tone: "ink", class_names: ["cat", "dog", "sea"] } });
      model.hello = { data: { class_names: ["cat", "dog", "sea"] } };
      model.status = "open";
      const images = { shape: [1, 1, 1, 1], data: Float32Array.of(1) };
      model.send = async (kind, fields) => {
        sent.push([kind, fields]);
        if (fields.what === "confusion")
          return { class_names: ["cat", "dog", "sea"], having: [7, 5, 0], recall: [1, 0.4, null], precision: [0.5, 1, null],
            f1: [0.25, 0.125, null], accuracy: 0.9, interval: [0.8, 0.95] };
        if (fields.what === "mistakes")
          return { mistakes: [{ index: 4, name: "image 4", true: [], predicted: [0, 2], probability: 0.75 }], total: 1, count: 10,
            arrays: new Map([["images", images]]) };
        return {};
      };
      mistakesPanel.mount(document.body, { model, set() {} });
      const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
      await soon();
      const rows = [...document.querySelectorAll(".matrix tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
      const said = document.querySelector("figcaption span").textContent;
      document.querySelector("details summary").click();
      document.querySelectorAll("details input")[1].click();
      await soon();
      return [rows, said, sent.at(-1), document.querySelector(".status").textContent];
    }"""  # noqa: E501
    rows, said, sent, status = module_page.evaluate(code)
    assert rows[0] == ["cat", "7", "100.0\u00a0%", "50.0\u00a0%", "25.0\u00a0%"]
    assert rows[2] == ["sea", "0", "–", "–", "–"]
    assert said == "no label → cat, sea"
    assert sent == ["data", {"relabel": [{"part": "held_out", "index": 4, "label": [1]}]}]
    assert status == "image 4 is now dog."
