import pytest

from neocog.settings import Settings, default_settings

# The chapters' own numbers: eighty epochs of SGD at 0.12 without momentum or decay, batches of eighteen.
TEXTBOOK = {
    "network": "tiny-cnn",
    "epochs": 80,
    "lr": 0.12,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": 18,
}
# The notebook's: ten epochs, momentum 0.9, decay 1e-4, batches of sixty-four.
NOTEBOOK = {
    "network": "digits-cnn",
    "epochs": 10,
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "seed": 42,
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("lines", TEXTBOOK | {"seed": 42}),
        ("lines-b", TEXTBOOK | {"seed": 3}),
        ("digits", NOTEBOOK),
    ],
)
def test_default_settings_are_the_sources_own(source, expected):
    assert default_settings(source) == Settings(source, **expected)
