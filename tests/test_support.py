"""The table of layers says what the registries say."""

from pathlib import Path

import numpy as np
import pytest

import neocog
from neocog import layers
from neocog.layers import Container, Elementwise, Layer, Tanh
from neocog.support import layer_table, markdown_table

TABLE = {row.layer: row for row in layer_table()}


def test_every_layer_has_a_row_and_every_row_a_formula():
    found = {
        name
        for name in layers.__all__
        if not issubclass(cls := getattr(layers, name), Container) and cls not in (Layer, Elementwise)
    }
    assert set(TABLE) == found
    for row in TABLE.values():
        assert "=" in row.formula, f"{row.layer} has no formula in its rule or its docstring"
        assert row.torch, f"{row.layer} has no counterpart in PyTorch"
        assert row.onnx, f"{row.layer} has no counterpart in ONNX"
        assert row.explained in ("rule", "function")
        assert row.page == "yes", (
            f"{row.layer} is not in PAGE_FORMS of studio/architecture.py, and in web/layers/"
        )


@pytest.mark.parametrize(
    ("name", "explained", "compiled", "torch", "onnx"),
    [
        ("Conv2D", "rule", "yes", "nn.Conv2d", "Conv"),
        ("ReLU", "function", "yes", "nn.ReLU", "Relu"),
        ("Transpose", "rule", "yes", "modules.Permute", "Transpose"),
        ("MatMul", "rule", "no", "modules.MatMul", "MatMul"),
    ],
)
def test_rows_known_by_hand(name, explained, compiled, torch, onnx):
    row = TABLE[name]
    assert (row.explained, row.compiled, row.torch, row.onnx) == (explained, compiled, torch, onnx)


def test_layers_of_ones_own():
    class Doubled(Layer):
        """Forward: ``y = 2 x``."""

        def forward(self, x, training=False):
            return 2 * x, None

    class Wave(Elementwise):
        """Forward: ``y = sin(x)``."""

        @staticmethod
        def function(xp, x):
            return xp.sin(x)

        @staticmethod
        def derivative(xp, x):
            return xp.cos(x)

    class Shifted(Tanh):
        def forward(self, x, training=False):
            y = np.tanh(x) + 1
            return y, y - 1

    doubled, wave, shifted = layer_table([Doubled, Wave, Shifted])
    assert (doubled.formula, doubled.explained, doubled.compiled) == ("y = 2 x", "Jacobian", "no")
    assert (wave.formula, wave.explained, wave.compiled) == ("y = sin(x)", "function", "yes")
    assert (shifted.compiled, shifted.torch) == ("no", "autograd Function")
    assert [row.page for row in (doubled, wave, shifted)] == ["no", "no", "no"]


def test_it_can_be_written_as_markdown():
    lines = markdown_table(layer_table([neocog.ReLU])).splitlines()
    assert lines[0] == "| layer | formula | explained | compiled | PyTorch | ONNX | page |"
    assert lines[2] == "| `ReLU` | `y = max(x, 0)` | function | yes | nn.ReLU | Relu | yes |"


def test_a_bar_in_a_formula_ends_no_cell():
    class Magnitude(Layer):
        """Forward: ``y = |x|``."""

    row = markdown_table(layer_table([Magnitude])).splitlines()[2]
    assert row.startswith(r"| `Magnitude` | `y = \|x\|` |")


def test_the_reference_renders_tables():
    conf = Path(__file__).parent.parent / "docs" / "conf.py"
    # myst-nb's default, CommonMark, prints the table's source
    assert 'nb_render_markdown_format = "myst"' in conf.read_text(encoding="utf-8")
