"""The census of torchvision's and timm's networks, over some of them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

CENSUS = Path(__file__).parents[2] / "benchmarks" / "census.py"
MODELS = {
    "--torchvision": ["shufflenet_v2_x0_5", "mobilenet_v3_small", "googlenet"],
    "--timm": [
        "test_efficientnet",
        "test_convnext",
        "test_byobnet",
        "test_nfnet",
        "ghostnet_050",
        "res2next50",
    ],
}


@pytest.mark.nightly
@pytest.mark.parametrize("library", MODELS)
def test_models_of_other_libraries_come_in(library, tmp_path):
    for name in ("torchvision", "timm"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (other,) = MODELS.keys() - {library}
    file = tmp_path / "census.json"
    command = [sys.executable, str(CENSUS), str(file), library, *MODELS[library], other, "none"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["model"].partition(":")[2] for line in lines] == MODELS[library]
    assert result.stdout.count(" right ") == len(lines), result.stdout
