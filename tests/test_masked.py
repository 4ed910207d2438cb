"""A masked array is refused wherever images or labels are taken: nothing would heed its mask."""

import numpy as np
import pytest

import neocog
from neocog import inspection
from neocog.data import Split, stratified_split
from neocog.training import evaluate

X = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype("f4")
Y = np.arange(6) % 3
MX, MY = np.ma.array(X, mask=X > 1), np.ma.array(Y, mask=Y > 1)
NETWORK = neocog.models.tiny_cnn(seed=0)

CALLS = {
    "fit x": lambda: neocog.fit(NETWORK, (MX, Y), epochs=1),
    "fit y": lambda: neocog.fit(NETWORK, (X, MY), epochs=1),
    "fit held-out y": lambda: neocog.fit(NETWORK, ((X, Y), (X, MY)), epochs=1),
    "fit sample_weight": lambda: neocog.fit(NETWORK, (X, Y), epochs=1, sample_weight=np.ma.ones(6)),
    "Split": lambda: Split((X, Y), (MX, Y)),
    "stratified_split": lambda: stratified_split(X, MY),
    "predict": lambda: NETWORK.predict(MX),
    "predict_proba": lambda: NETWORK.predict_proba(MX),
    "for_inference": lambda: NETWORK.for_inference().predict(MX),
    "evaluate x": lambda: evaluate(NETWORK, MX, Y),
    "evaluate y": lambda: evaluate(NETWORK, X, MY),
    "evaluate sample_weight": lambda: evaluate(NETWORK, X, Y, sample_weight=np.ma.ones(6)),
    "check_gradients x": lambda: neocog.check_gradients(NETWORK, MX, Y),
    "check_gradients y": lambda: neocog.check_gradients(NETWORK, X, MY),
    "trace x": lambda: inspection.trace(NETWORK, MX),
    "trace y": lambda: inspection.trace(NETWORK, X, MY),
    "confusion x": lambda: inspection.confusion(NETWORK, MX, Y),
    "confusion y": lambda: inspection.confusion(NETWORK, X, MY),
    "saliency x": lambda: inspection.saliency(NETWORK, MX),
    "saliency y": lambda: inspection.saliency(NETWORK, X, MY),
    "baseline": lambda: inspection.integrated_gradients(NETWORK, X, baseline=np.ma.zeros((1, 8, 8))),
    "landscape x": lambda: inspection.loss_landscape(NETWORK, MX, Y, steps=3),
    "landscape y": lambda: inspection.loss_landscape(NETWORK, X, MY, steps=3),
    "occlusion": lambda: inspection.occlusion(NETWORK, MX),
    "feature_maps": lambda: inspection.feature_maps(NETWORK, MX, "conv1"),
    "embedding": lambda: inspection.embedding(NETWORK, MX, "conv1"),
    "dead_units": lambda: inspection.dead_units(NETWORK, MX),
    "most_exciting": lambda: inspection.most_exciting(NETWORK, MX, "conv1", 0),
    "misclassified": lambda: inspection.misclassified(NETWORK, X, MY),
    "least_certain": lambda: inspection.least_certain(NETWORK, X, MY),
    "maximize": lambda: inspection.maximize_activation(NETWORK, "conv1", 0, start=MX[0]),
    "statistics": lambda: inspection.StatisticsLog(MX),
    "statistics labels": lambda: inspection.StatisticsLog(X, MY),
}


@pytest.mark.parametrize("name", CALLS)
def test_masked_arrays_are_refused(name):
    with pytest.raises(TypeError, match="must not be a masked array, whose mask would be ignored; fill it"):
        CALLS[name]()
