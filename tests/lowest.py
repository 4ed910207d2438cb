"""Print constraints for pip: of each dependency the lowest version that pyproject.toml allows.

Those named on the command line take the version of constraints.txt instead.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def lowest(project, pins, latest=()):
    """Return ``name==version`` for each ``name>=version`` among the dependencies and extras of a project."""
    extras = project["optional-dependencies"].values()
    bounds = [re.match(r"([\w.-]+)>=([\w.]+)", text) for text in sum(extras, project["dependencies"])]
    found = {match[1]: f"{match[1]}=={match[2]}" for match in bounds if match}
    pinned = {name: line for line in pins for name in latest if line.startswith(f"{name}==")}
    unknown = set(latest) - (set(found) & set(pinned))
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} must be a dependency with a pin in constraints.txt.")
    return sorted((found | pinned).values())


if __name__ == "__main__":
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print("\n".join(lowest(about, (ROOT / "constraints.txt").read_text().splitlines(), sys.argv[1:])))
