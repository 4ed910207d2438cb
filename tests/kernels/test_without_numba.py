"""Without a working Numba everything but the ``fused`` kernels works, and these say why they do not."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

BLOCK = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def python(code, *paths, folder=None):
    """Run code in another process; return what it prints."""
    path = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_layers_training_and_inspection_work_without_numba():
    code = """
import numpy as np, neocog
from neocog.inspection import explain
from neocog.kernels import kernels_for, use_kernels
from neocog.models import tiny_cnn
from neocog.testing import check_layer

assert kernels_for(1e9) == "im2col"  # auto never chooses what is not there
data = neocog.data.line_patterns("a")
x, y = data.train
network = tiny_cnn(seed=42)
before = network(x)
history = neocog.fit(network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=6, rng=0)
assert history["train_loss"][-1] < history["train_loss"][0]
assert network.predict(x).shape == (len(x),)
explanation = explain(network, x[:1], at="conv1", index=(0, 0, 0, 0))
assert abs(explanation.value - network["conv1"](x[:1])[0, 0, 0, 0]) < 1e-6
check_layer(lambda: neocog.Conv2D(1, 2, 3, rng=0), np.random.default_rng(0).normal(size=(2, 1, 5, 5)))

fast = network.for_inference()
assert np.array_equal(fast(x), network(x)) and np.array_equal(fast.predict(x), network.predict(x))
for precision in ("fast", "exact"):
    with use_kernels("im2col", precision):
        network(x)
for do in (lambda: use_kernels("fused"), lambda: __import__("neocog.kernels.fused")):
    try:
        do()
    except ImportError as error:
        text = str(error)
        assert "'fused' need Numba, and it is not installed for this" in text and "'im2col'" in text, text
        assert sys.platform in text and f"{sys.version_info.major}.{sys.version_info.minor}." in text, text
    else:
        raise AssertionError
from neocog.kernels import active_kernels
assert active_kernels() == "auto"
assert not any(name.split(".")[0] in ("numba", "llvmlite") for name in sys.modules)
print("done")
"""
    assert python(BLOCK + code) == "done\n"


def test_the_estimator_works_without_numba():
    code = """
import numpy as np, neocog
x, y = neocog.data.line_patterns("a").train
model = neocog.ConvNetClassifier(epochs=2, random_state=0).fit(x, y)
assert model.predict(x).shape == y.shape
try:
    neocog.ConvNetClassifier(kernels="fused").fit(x, y)
except ImportError as error:
    print(error)
"""
    assert "need Numba" in python(BLOCK + code)


def test_the_command_line_works_without_numba(tmp_path):
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(6):
            noise = np.random.default_rng(k).integers(0, 30, (12, 12))
            Image.fromarray((level + noise).astype(np.uint8)).save(tmp_path / "images" / name / f"{k}.png")
    code = """
from pathlib import Path
from typer.testing import CliRunner
from neocog.cli import app

def run(*arguments, code=0):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, (arguments, result.output, result.exception)
    return result.output

run("train", "folder:images", "--epochs", "2")
(model,) = Path().glob("runs/*/model.neocog")
run("predict", str(model), "images/dark/0.png")
for arguments in (("train", "lines", "--kernels", "fused"), ("warmup",)):
    output = run(*arguments, code=2)
    assert "need Numba" in output and "Traceback" not in output, output
print("done")
"""
    assert python(BLOCK + code, folder=tmp_path) == "done\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('Numba needs NumPy 2.4 or less')", "ImportError: Numba needs NumPy 2.4 or less"),
        ("raise OSError('cannot load the library')", "OSError: cannot load the library"),
        ("import llvmlite_that_is_missing", "No module named 'llvmlite_that_is_missing'"),
    ],
)
def test_a_broken_numba_is_named_with_its_reason(tmp_path, source, reason):
    (tmp_path / "numba.py").write_text(source)
    code = """
import neocog
from neocog.kernels import kernels_for
assert kernels_for(1e9) == "im2col"
try:
    neocog.use_kernels("fused")
except ImportError as error:
    print(error)
"""
    output = python(code, tmp_path)
    assert f"importing it fails: {reason}" in output
    assert "'im2col'" in output


def test_the_choice_loads_numba_only_where_it_is_needed():
    code = """
import sys, neocog
from neocog.kernels import kernels_for, use_kernels
use_kernels("im2col"), use_kernels("auto"), kernels_for(0.1)
assert "numba" not in sys.modules
assert kernels_for(1e9) == "fused" and "numba" in sys.modules
"""
    python(code)
