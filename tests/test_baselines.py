import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from neocog import baselines as module
from neocog.baselines import baselines
from neocog.data import digits


def test_they_are_scikit_learns_on_the_same_images():
    data = digits()
    train, held_out = (tuple(part) for part in data)
    x, y = train[0][:300], train[1][:300]
    found = baselines((x, y), held_out, seed=3)
    rows, others = x.reshape(300, -1), held_out[0].reshape(len(held_out[0]), -1)
    forest = RandomForestClassifier(200, random_state=3).fit(rows, y)
    assert found == {
        "random forest": forest.score(others, held_out[1]),
        "SVC": SVC(C=10.0).fit(rows, y).score(others, held_out[1]),
    }


@pytest.mark.parametrize(
    ("images", "products", "expected"),
    [(99, 1e12, []), (100, 100 * 100 * 16 - 1, ["random forest"]), (100, 1e12, ["random forest", "SVC"])],
)
def test_they_are_bounded(monkeypatch, rng, images, products, expected):
    monkeypatch.setattr(module, "MOST_IMAGES", images)
    monkeypatch.setattr(module, "MOST_PRODUCTS", products)
    part = rng.random((100, 1, 4, 4)), np.arange(100) % 2
    assert list(baselines(part, part)) == expected
