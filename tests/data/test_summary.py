import json

import numpy as np

from neocog.data import DataSummary, Split


def part(*labels):
    return np.zeros((len(labels), 3, 4, 5)), np.array(labels)


def test_images_and_classes_of_every_part():
    split = Split(
        part(0, 0, 1, 2), part(1), ("cat", "dog", "emu"), tuning=part(0, 2), notes=["Nothing was skipped."]
    )
    summary = DataSummary.of(split)
    assert summary.lines() == [
        "7 images of shape 3 x 4 x 5: 4 to train on, 2 for validation, 1 held out.",
        "3 classes: cat 2 + 1 + 0, dog 1 + 0 + 1, emu 1 + 1 + 0.",
        "Nothing was skipped.",
    ]
    plain = json.loads(json.dumps(summary.to_dict()))
    assert plain["classes"]["cat"] == {"train": 2, "tuning": 1, "validation": 0}
    assert plain["images"] == {"train": 4, "tuning": 2, "validation": 1}


def test_the_list_of_classes_is_bounded_and_shows_no_control_characters():
    split = Split(part(*range(50)), class_names=[f"\x1b{k}" for k in range(50)])
    lines = DataSummary.of(split).lines()
    assert lines[0] == "50 images of shape 3 x 4 x 5: 50 to train on."
    assert lines[1].startswith(r"50 classes: \x1b0 1, \x1b1 1")
    assert lines[1].endswith(r"\x1b19 1 and 30 more.")


def test_a_regression_has_no_classes():
    split = Split((np.zeros((3, 1, 2, 2)), np.array([0.5, 1, 2])))
    assert DataSummary.of(split).lines() == ["3 images of shape 1 x 2 x 2: 3 to train on."]
