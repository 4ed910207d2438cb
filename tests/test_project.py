"""What stands beside the code agrees with it: the citation file, the workflow, the Makefile."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import neocog

from .lowest import lowest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_dependency_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *(text for name in extras if name != "docs" for text in extras[name])]
    assert [text for text in needed if ">=" not in text and not text.startswith("neocog[")] == []
    pins = ["torch==9.9", "numpy==9.9"]
    found = lowest(PROJECT, pins, ["torch"])
    assert "torch==9.9" in found
    assert "numpy==2.1" in found
    assert len(found) == len({line.partition("==")[0] for line in found}) > 25
    with pytest.raises(ValueError, match="numpi must be a dependency with a pin"):
        lowest(PROJECT, pins, ["numpi"])


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_file_names_this_version_authors_and_license():
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} < set(citation)  # what the format requires
    assert citation["type"] == "software"
    assert citation["version"] == neocog.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["keywords"] == PROJECT["keywords"]


def test_the_workflow_runs_what_exists_on_the_supported_versions_of_python():
    jobs = read_yaml(".github/workflows/test.yml")["jobs"]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = set()
    for job in jobs.values():
        versions = job["strategy"]["matrix"]["python"]
        assert versions[0] == PROJECT["requires-python"].removeprefix(">=")
        commands |= {step["run"] for step in job["steps"] if "run" in step}
    assert commands == {".ci/run", "make nightly"}
    assert "nightly" in targets


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")), ids=lambda p: p.stem)
def test_an_issue_template_has_a_name_and_a_description(path):
    _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    assert set(yaml.safe_load(head)) == {"name", "about", "labels"}
    assert body.strip()
