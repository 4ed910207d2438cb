"""Studies: the machinery, and that their numbers are the textbook's."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from neocog import experiments
from neocog.experiments.depth import shortcut_and_norm
from neocog.experiments.study import STUDIES, Outcome

from ..studies import result  # noqa: TID252

pytestmark = pytest.mark.xdist_group("studies")


def rows(name):
    found = result(name)
    return {row[found.columns[0]]: row for row in found.rows}


NAMES = [study.name for study in experiments.list_experiments()]


# Every study


@pytest.mark.parametrize("name", NAMES)
def test_every_study_answers(name):
    if name == "digits-vs-pytorch":
        pytest.importorskip("torch")
    found = result(name)
    assert found.name == name
    assert found.question.endswith("?")
    assert found.answer
    assert 2 <= found.explanation.count(". ") + 1 <= 5
    assert any(character.isdigit() for character in found.finding)
    assert found.finding.endswith(".")
    assert "nan" not in found.finding
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["rows"] == found.to_dict()["rows"]
    assert len({len(table) for table in found.repetitions}) == 1
    out = io.StringIO()
    Console(file=out, width=200).print(found)
    assert name in out.getvalue()
    assert found.finding[:40] in out.getvalue()


@pytest.mark.parametrize("name", ["cnn-vs-mlp", "dropout", "transfer", "digits"])
def test_a_study_is_repeatable(name):
    assert experiments.run(name, seeds=1).to_dict() == result(name).to_dict()


def test_a_finding_follows_its_numbers():
    short = experiments.run("cnn-vs-mlp", seeds=1, epochs=1, hidden=4)
    assert short.finding != result("cnn-vs-mlp").finding
    assert "with 275, 2.4 times" in short.finding
    assert f"{100 * short.rows[0]['val_accuracy']:.1f} %" in short.finding


# The machinery


def test_an_unknown_study_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'cnn-vs-mlp'.*Did you mean 'momentum'"):
        experiments.run("momentun")


def test_an_unknown_parameter_is_named_with_the_known_ones():
    with pytest.raises(TypeError, match=r"\['epoch'\].*epochs, lr, batch_size, hidden"):
        experiments.run("cnn-vs-mlp", epoch=1)


@pytest.mark.parametrize("arguments", [{"seeds": 0}, {"jobs": 0}, {"patterns": "c"}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be"):
        experiments.run("no-relu", **arguments)


def test_several_seeds_spread_and_begin_with_the_textbook():
    calls = []
    many = experiments.run("cnn-vs-mlp", seeds=3, jobs=2, progress=lambda *c: calls.append(c), epochs=3)
    one = experiments.run("cnn-vs-mlp", seeds=1, epochs=3)
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert many.seeds == 3
    assert many.rows == many.repetitions[0] == one.rows
    assert many.finding == one.finding
    losses = [table[0]["val_loss"] for table in many.repetitions]
    assert len(set(losses)) == 3
    cell = many.spread[0]["val_loss"]
    assert cell == pytest.approx(
        {"mean": np.mean(losses), "min": min(losses), "max": max(losses), "std": np.std(losses), "count": 3}
    )
    assert many.spread[0]["parameters"] == {"mean": 114, "min": 114, "max": 114, "std": 0, "count": 3}
    assert "Over 3 seeds" in many.over_seeds
    json.dumps(many.to_dict(), allow_nan=False)
    assert many.repetitions == experiments.run("cnn-vs-mlp", seeds=3, jobs=1, epochs=3).repetitions


def test_ten_seeds_are_the_default_and_come_first():
    found = experiments.run("dot-class", epochs=2)
    assert found.seeds == 10
    assert found.note == ""
    out = io.StringIO()
    Console(file=out, width=300).print(found)
    over, alone = out.getvalue().index(found.over_seeds), out.getvalue().index(found.textbook)
    assert over < alone
    assert found.textbook == f"The textbook's seed alone would have said: {found.finding}"


def test_fewer_seeds_are_said():
    few = experiments.study("a-slow-test", question="?", answer="", explanation="", seeds=3, seconds=40)
    few(lambda repetition=0: Outcome([{"network": "x", "val_accuracy": 1.0}], "1."))
    try:
        found = experiments.run("a-slow-test")
        assert found.note == "3 seeds of 10: --seeds 10 takes about 40 s."
        assert experiments.run("a-slow-test", seeds=10).note == ""
    finally:
        del STUDIES["a-slow-test"]


def test_what_the_seeds_found_is_said_in_words():
    def tables(repetition=0):
        accuracy, first, other = next(values)
        rows = [{"network": "x", "val_accuracy": accuracy, "first_at_100": first}]
        return Outcome([*rows, {"network": "y", "val_accuracy": 1.0, "first_at_100": other}], "1.")

    for measure, said in (
        (
            "val_accuracy",
            "validation accuracy: x 83.3 % (50.0 to 100.0 %, 100 % in 2 of 3); y 100.0 % in all runs",
        ),
        (
            "first_at_100",
            "first epoch with 100 % validation accuracy: x 3.5 (3 to 4, never in 1); y 5.0 (4 to 6), above x",
        ),
    ):
        values = iter([(1.0, 3, 5), (0.5, None, 4), (1.0, 4, 6)])
        experiments.study("a-test", question="?", answer="", explanation="", measure=measure)(tables)
        try:
            assert f"Over 3 seeds, {said}" in experiments.run("a-test", seeds=3, jobs=1).over_seeds
        finally:
            del STUDIES["a-test"]


def test_a_notebook_shows_a_table_and_paragraphs():
    found = result("two-convolutions")
    page = found._repr_html_()
    assert page.count("<tr>") == 3
    assert "two-convolutions: Do two convolutions (1-&gt;3-&gt;6) do better than one?" in page
    assert f"<p><b>{found.finding.replace('>', '&gt;')}</b></p>" in page


def test_nothing_random_is_run_once():
    assert experiments.run("shapes-and-parameters", seeds=5).seeds == 1


def test_progress_can_be_a_bar(capsys):
    found = experiments.run("shapes-and-parameters", progress=True)
    assert found.rows == experiments.run("shapes-and-parameters").rows
    assert capsys.readouterr().out == ""  # the bar leaves standard output to the table


def test_cells_without_a_number_are_left_out_of_the_spread():
    def tables(repetition=0):
        return Outcome([{"case": "x", "epoch": None if repetition else 4, "text": "t"}], "1 case.")

    experiments.study("a-test", question="?", answer="", explanation="", measure="epoch")(tables)
    try:
        found = experiments.run("a-test", seeds=2, jobs=1)
    finally:
        del STUDIES["a-test"]
    assert found.spread == [{"epoch": {"mean": 4, "min": 4, "max": 4, "std": 0, "count": 1}}]


def test_a_rate_at_which_the_loss_explodes_is_a_row():
    found = experiments.run("learning-rates", lrs=(0.12, 1e300), epochs=2, seeds=1)
    assert found.rows[1]["val_accuracy"] is None
    assert "not finite at 1e+300" in found.finding


def test_the_list_of_studies():
    out = io.StringIO()
    Console(file=out, width=200).print(experiments.experiments_table())
    assert all(name in out.getvalue() for name in NAMES)
    assert json.dumps([study.to_dict() for study in experiments.list_experiments()])
    assert len(NAMES) == 28


# Numbers


def test_cnn_vs_mlp(golden):
    expected = golden["chapter25"]
    for name, key in (("TinyCNN", "cnn_3class"), ("TinyMLP", "mlp_3class")):
        row, history = rows("cnn-vs-mlp")[name], result("cnn-vs-mlp").data["histories"][name]
        assert row["parameters"] == expected[key]["total_parameters"]
        assert row["val_accuracy"] == expected[key]["final_val_acc"]
        assert row["val_loss"] == pytest.approx(expected[key]["final_val_loss"], abs=1e-12)
        assert row["first_at_100"] == expected[key]["first_epoch_val_acc_1"]
        assert history["train_loss"] == pytest.approx(expected[key]["history"]["train_loss"], abs=1e-12)
        assert history["val_accuracy"] == pytest.approx(expected[key]["history"]["val_acc"], abs=1e-12)
    assert "10.8 times" in result("cnn-vs-mlp").finding


def test_mlp_capacity():
    table = rows("mlp-capacity")
    assert [row["parameters"] for row in table.values()] == [71, 139, 275, 547, 1227, 2179, 4355]
    assert table["4 hidden"]["val_accuracy"] == 1.0
    assert table["1 hidden"]["dead_units"] == 1
    assert "4 hidden units and 275 parameters" in result("mlp-capacity").finding


def test_shapes_and_parameters():
    assert [row["by_layers"] for row in result("shapes-and-parameters").rows] == [
        "16 x 8 x 28 x 28", 608, 15052800, 1839, 114, 1227, 28, 19, 33280, 80,
    ]  # fmt: skip
    assert all(row["by_formula"] == row["by_layers"] for row in result("shapes-and-parameters").rows)


def test_fourth_class():
    assert [row["parameters"] for row in result("fourth-class").rows] == [114, 1227, 142, 1246]
    assert all(row["val_accuracy"] == 1.0 for row in result("fourth-class").rows)
    assert "adds 28 parameters" in result("fourth-class").finding
    assert " 19 to TinyMLP" in result("fourth-class").finding


def test_classes():
    assert rows("dot-class")["4 classes"]["dots_right"] == 1.0
    five = rows("fifth-class")
    assert five["5 classes with 3 filters"]["parameters"] == 170
    assert (
        five["5 classes with 3 filters"]["val_accuracy"]
        == five["5 classes with 2 filters"]["val_accuracy"]
        == 1.0
    )
    assert five["5 classes with 1 filter"]["val_accuracy"] == pytest.approx(0.96)


def test_inference_trace(golden):
    expected, data = golden["chapter25"]["inference_trace"], result("inference-trace").data
    for ours, theirs in (("conv1", "conv"), ("relu1", "relu"), ("pool1", "pool"), ("dense", "logits")):
        np.testing.assert_allclose(data[ours][0], expected[theirs], rtol=0, atol=1e-11)
    np.testing.assert_allclose(data["softmax"][0], expected["probs"], rtol=0, atol=1e-11)
    assert "is called vertical with probability 0.9961" in result("inference-trace").finding


def test_no_filter_is_a_horizontal_detector(golden):
    detects = {row["filter"]: row["detects"] for row in result("filters").rows}
    assert detects["A 1"] == "vertical"
    assert detects["A 2"] == "diagonal"
    assert "horizontal" not in detects.values()
    expected = golden["chapter24"]["final"]["conv_weights"]["values"]
    np.testing.assert_allclose(result("filters").data["kernels_a"], expected, rtol=0, atol=1e-11)


def test_nonlinearity():
    table = rows("no-relu") | rows("average-pooling")
    affine = {"average pooling without ReLU", "one dense layer"}
    assert {name for name, row in table.items() if row["affine_error"] < 1e-9} == affine
    assert all(row["affine_error"] > 0.01 for name, row in table.items() if name not in affine)
    assert all(row["val_accuracy"] == 1.0 for row in table.values())
    assert table["one dense layer"]["parameters"] == 195


def test_at_rate_1_all_filters_die(golden):
    table = rows("learning-rates")
    assert [row["dead_units"] for row in table.values()] == [0, 0, 0, 0, 3]
    assert [row["classes_named"] for row in table.values()] == [3, 3, 3, 3, 1]
    assert "all images are called vertical" in result("learning-rates").finding
    assert table["lr 1"]["val_accuracy"] == pytest.approx(23 / 90)
    final = golden["chapter24"]["train_loss_after_training_on_full_train_set"]
    assert table["lr 0.12"]["train_loss"] == pytest.approx(final, abs=1e-12)
    assert "3 of 3 filters are dead" in result("learning-rates").finding


def test_activations():
    table = rows("activations")
    assert [row["first_at_100"] for row in table.values()] == [6, None, 11]
    assert table["sigmoid"]["slope"] < 0.25
    assert [row["zeros"] > 0 for row in table.values()] == [True, False, False]


def test_pooling_and_shifts():
    table = rows("pooling-and-shifts")
    assert [row["parameters"] for row in table.values()] == [114, 30 + 3 * (108 + 1), 1227]
    assert all(row["val_accuracy"] == 1.0 for row in table.values())
    assert table["with pooling"]["shifted_accuracy"] == table["without pooling"]["shifted_accuracy"]


def test_overfitting():
    plain, decay, *_ = result("overfitting").rows
    assert plain["train_accuracy"] == 1.0
    assert plain["val_loss"] > plain["lowest_val_loss"] > 100 * plain["train_loss"]
    assert decay["val_loss"] < plain["val_loss"]


def test_shortcut_and_norm():
    table = rows("shortcut-and-norm")
    ratios = [row["gradient_ratio"] for row in table.values()]
    assert ratios[0] < 0.2 < 5 < ratios[1] < ratios[2]
    # One seed's networks depend on how a processor rounds sums: the mean of three.
    tables = [list(table.values()), *(shortcut_and_norm(repetition).rows for repetition in (1, 2))]
    accuracy = np.mean([[row["train_accuracy"] for row in each] for each in tables], axis=0)
    learned = dict(zip(table, accuracy, strict=True))
    assert learned["shortcut and batch norm"] > 2 * max(
        learned[name] for name in learned if "and" not in name
    )


def test_momentum_is_faster():
    plain, fast = result("momentum").rows
    assert (plain["first_at_100"], fast["first_at_100"]) == (6, 2)
    assert fast["val_loss"] < plain["val_loss"] / 10


def test_parameters_of_the_changed_networks():
    def parameters(name):
        return [row["parameters"] for row in result(name).rows]

    assert parameters("two-convolutions") == [114, 273]
    assert parameters("kernel-size") == [99, 114, 117]
    assert parameters("filter-count") == [3 + 37 * f for f in range(1, 9)]
    assert parameters("stride-instead-of-pooling") == [114, 114]
    assert parameters("dropout") == [114, 114]
    assert parameters("digits-third-convolution") == [1898, 7178]
    assert parameters("digits-strided") == [1898, 1898]


def test_shift_invariance():
    right = result("shift-invariance").rows[0]
    assert round(right["pooled_unchanged"], 2) == 0.47
    assert round(right["predictions_unchanged"], 2) == 0.89


def test_digits(golden):
    expected, found = golden["digits"]["numpy_10"], result("digits")
    assert [row["running_loss"] for row in found.rows] == pytest.approx(expected["history"]["loss"], abs=1e-4)
    assert [row["test_accuracy"] for row in found.rows] == pytest.approx(
        expected["history"]["test_acc"], abs=1e-9
    )
    assert found.data["confusion"].tolist() == expected["confusion_matrix_test"]
    assert "13 of 450 are misclassified" in found.finding


def test_deeper_maps_tell_classes_apart_better():
    table = rows("digits-feature-maps")
    assert table["pool2"]["shape"] == "16 x 2 x 2"
    assert table["pool2"]["sees"] == "10 x 10, of which 8 x 8 image"
    assert table["pool2"]["class_share"] > table["pool1"]["class_share"] > table["input"]["class_share"]


def test_digits_vs_pytorch(golden):
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()
    found = result("digits-vs-pytorch")
    assert torch.equal(torch.random.get_rng_state(), before)
    expected = golden["digits"]["torch_10 (cpu)"]
    history = found.data["histories"]["PyTorch"]
    assert history["running_loss"][1:] == pytest.approx(expected["history"]["loss"], abs=1e-3)
    assert [row["parameters"] for row in found.rows] == [1898, 1922, 1922]
    assert found.rows[1]["misclassified"] == pytest.approx(expected["n_misclassified_test"], abs=1)


def test_without_pytorch_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'neocog\[torch\]'"):
        experiments.run("digits-vs-pytorch")


def test_transfer():
    table = rows("transfer")
    assert [row["learned_parameters"] for row in table.values()] == [140, 140, 170, 170]
    assert len(result("transfer").data["labels"]) == 25
    logits = result("transfer").data["frozen_logits"]
    images_right = table["frozen trained filters"]["val_accuracy"]
    labels = experiments.transfer.Lines("b").data(experiments.transfer.FIVE).validation[1]
    assert (logits.argmax(axis=1) == labels).mean() == images_right  # the new head on the frozen network
    with pytest.raises(ValueError, match=r"images_per_class must be in 1\.\.60"):
        experiments.run("transfer", images_per_class=61)
