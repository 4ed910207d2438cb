"""Sessions with binary cross-entropy: images of several labels, and two classes told apart by one output."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neocog import load, runs
from neocog.cli.common import app
from neocog.losses import BinaryCrossEntropy
from neocog.studio import hosting
from neocog.studio.work import run_work, source_work

from .serving import Refused, serving, talk


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Pictures with a bright left half, a bright right half, both or neither: of both labels, and of one."""
    folder, rng = tmp_path_factory.mktemp("halves"), np.random.default_rng(0)
    y = np.arange(80)[:, None] // [1, 2] % 2
    x = rng.normal(0.2, 0.05, (80, 1, 8, 8)) + 0.6 * np.repeat(y, 4, axis=1)[:, None, None, :]
    x = np.clip(x, 0, 1).astype("f4")
    for name, labels, names in (("both", y, ["left", "right"]), ("one", y[:, 0], ["dark", "bright"])):
        parts = {"x_train": x[:60], "y_train": labels[:60], "x_test": x[60:], "y_test": labels[60:]}
        np.savez(folder / f"{name}.npz", class_names=np.array(names), **parts)
    return folder


@pytest.fixture(params=["both", "one"])
def archive(request, archives):
    return archives / f"{request.param}.npz"


def test_several_labels_are_trained_asked_about_saved_and_opened_again(archive, tmp_path):
    several, kept = archive.stem == "both", {}
    work = source_work("given", "halves", f"npz:{archive}", "im2col", "bce").with_network("tiny-cnn")

    async def conversation(client):
        page = await client()
        live = studio.sessions[page.state["session"]].live
        images, labels = live.data.validation
        assert page.hello["description"]["output_kind"] == "independent-logits"
        assert page.hello["description"]["nodes"][-1]["shape"] == [2 if several else 1]
        told = [sample["label"] for sample in page.hello["samples"]]
        assert sorted(map(str, told)) == sorted(
            str(np.flatnonzero(row).tolist() if several else int(row)) for row in labels
        )
        await page.ask("step", unit="epoch")
        await page.idle(1)

        image = images[:1]
        answer, _ = await page.ask("image", {"image": image[0]})
        expected = live.network.predict_proba(image)[0]
        np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-5)
        sample = 0
        await page.ask("image", sample=sample)
        found, _ = await page.ask("measure", what="gradients")
        assert found["label"] == told[sample]
        target = np.isin([0, 1], told[sample])[None].astype(int) if several else np.array([told[sample]])
        x = page.samples[[sample]].astype(live.network.dtype)
        assert found["loss"] == pytest.approx(BinaryCrossEntropy()(live.network(x), target)[0], rel=1e-6)

        fields = {"array": "dense.weight", "index": [3, 0]}
        proof, _ = await page.ask("ask", about="prove", **fields)
        assert min(abs(row["error"]) for row in proof["quotients"]) < 1e-8
        asked, _ = await page.ask("ask", about="gradient", **fields)
        assert asked["gradient"] == pytest.approx(proof["gradient"], rel=1e-4)
        assert all(isinstance(each["label"], list if several else int) for each in asked["images"])
        before = float(live.network.params["dense.weight"][3, 0])
        await page.ask("step", unit="batch")
        await page.until(lambda: page.state["batch"] == 1 and not page.state["playing"])
        assert float(live.network.params["dense.weight"][3, 0]) - before == asked["change"]

        scores, _ = await page.ask("measure", what="confusion")
        wrong, _ = await page.ask("measure", what="mistakes")
        said, true = live.network.predict(images), labels
        right = (said == true).reshape(20, -1).all(axis=1)
        assert scores["accuracy"] == right.mean()
        assert {mistake["index"] for mistake in wrong["mistakes"]} == set(np.flatnonzero(~right))
        if several:
            assert scores["having"] == true.sum(axis=0).tolist()
            np.testing.assert_allclose(scores["recall"], (said & true).sum(axis=0) / true.sum(axis=0))
            for mistake in wrong["mistakes"]:
                assert mistake["true"] == np.flatnonzero(true[mistake["index"]]).tolist()
                assert mistake["predicted"] == np.flatnonzero(said[mistake["index"]]).tolist()
        else:
            assert np.array(scores["matrix"]).sum() == 20
            with pytest.raises(Refused, match="one output tells two classes apart"):
                await page.ask("attribute", method="saliency", label=0)
        heat, _ = await page.ask("attribute", method="saliency")
        assert heat["label"] in (0, 1)

        new, odd, text = ([0, 1], 1, "must be a list") if several else (1, [1], "a whole number below 2")
        with pytest.raises(Refused, match=text):
            await page.ask("data", relabel=[{"part": "train", "index": 5, "label": odd}])
        none = {"part": "train", "index": 5, "label": [2] if several else 2}
        with pytest.raises(Refused, match="label must be a whole number below 2, got 2"):
            await page.ask("data", relabel=[none])
        await page.ask("data", relabel=[{"part": "train", "index": 5, "label": new}])
        blocks = [{"kind": "Flatten"}, {"kind": "Dense"}]
        examined, _ = await page.ask("ask", about="network", blocks=blocks)
        assert examined["ok"]
        await page.ask("set", blocks=blocks)
        await page.until(lambda: page.state["epoch"] == 0)  # told after the answer
        await page.ask("step", unit="epoch")
        await page.idle(1)
        kept["path"] = Path((await page.ask("save", what="run"))[0]["path"])

    with serving(tmp_path / "runs", begin_with=lambda: work) as studio:
        talk(studio, conversation)
    again = run_work(kept["path"], "again")
    assert again.settings.loss == "bce"
    assert again.data.train[1][5].tolist() == ([1, 1] if several else 1)
    assert load(kept["path"] / "model.neocog").output_kind == "independent-logits"
    assert runs.RunDirectory(kept["path"]).result().held_out.images == 20

    async def go_on(client):
        page = await client(session=kept["path"].name)
        await page.ask("step", unit="epoch")
        await page.idle(2)
        assert page.rows[2]["train_loss"] < page.rows[1]["train_loss"]

    with serving(tmp_path / "runs") as studio:
        talk(studio, go_on)


def test_the_command_line_opens_images_of_several_labels(archives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    served = []
    monkeypatch.setattr(hosting, "serve", lambda studio, *_: served.append(studio) or [])
    both = f"npz:{archives / 'both.npz'}"
    result = CliRunner().invoke(app, ["studio", both, "--loss", "bce"])
    assert result.exit_code == 0, result.output
    assert served[0].begin_with().data.is_multilabel
    result = CliRunner().invoke(app, ["studio", "lines", "--loss", "bce"])
    assert result.exit_code == 2
    assert "loss bce is for images with several labels" in " ".join(result.output.split())
