import json
import sys

import numpy as np
import pytest

from neocog.training import History


@pytest.fixture
def history():
    history = History()
    history.append(epoch=0, train_loss=1.5, train_accuracy=0.25)
    history.append(epoch=1, running_loss=1.2, train_loss=1.0, train_accuracy=0.5, lr=0.1, seconds=2.0)
    return history


def test_columns(history):
    assert history["train_loss"] == [1.5, 1.0]
    assert np.isnan(history["val_loss"]).all()
    assert len(history) == 2
    assert [row["epoch"] for row in history] == [0, 1]
    assert history.last["seconds"] == 2.0
    assert "train_loss=1" in repr(history)
    assert repr(History()) == "History(empty)"
    for epoch in range(1000):
        history.append(epoch=epoch, train_loss=1.0)
    assert str(history) == repr(history)
    assert len(repr(history).splitlines()) == 1


def test_unknown_columns(history):
    with pytest.raises(KeyError, match="no column 'loss'; the columns are epoch, running_loss"):
        history["loss"]
    with pytest.raises(ValueError, match="columns must be among"):
        history.append(loss=1.0)


def test_csv(history, tmp_path):
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == (
        "epoch,running_loss,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds\n"
        "0,,1.5,0.25,,,,\n"
        "1,1.2,1.0,0.5,,,0.1,2.0\n"
    )


def test_json_is_strict(history, tmp_path):
    history.to_json(tmp_path / "h.json")
    text = (tmp_path / "h.json").read_text()
    assert "NaN" not in text
    data = json.loads(text)
    assert data["stopped"] == ""
    assert data["rows"][0]["running_loss"] is None
    assert data["rows"][1]["train_loss"] == 1.0


def test_dataframe(history):
    frame = history.to_dataframe()
    assert frame["train_loss"].tolist() == [1.5, 1.0]
    assert frame.shape == (2, 8)


def test_dataframe_without_pandas(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        history.to_dataframe()


def test_json_comes_back(history, tmp_path):
    history.stopped = "enough"
    history.to_json(tmp_path / "h.json")
    twin = History.from_json(tmp_path / "h.json")
    assert twin.stopped == "enough"
    np.testing.assert_equal(twin.rows, history.rows)


@pytest.mark.parametrize("text", ["", "[]", '{"rows": [{}], "stopped": ""}', '{"rows": 3}'])
def test_json_of_something_else(tmp_path, text):
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(ValueError, match="is not a history"):
        History.from_json(tmp_path / "h.json")
