"""The command ``neocog``.

Exit codes: 0 done; 1 a gradient check failed, an answer to an exercise is not right, the loss became NaN, or
another process of the job was lost; 2 bad input; 70 a bug in neocog; 130 interrupted by Ctrl-C, or, while a
network or a sweep is trained, by SIGTERM.
"""

import warnings

from neocog.cli import train, sweep, evaluate, model, page, studio, lesson, inspect, exercises  # isort: skip - the order of the commands in --help
from neocog.cli.common import app

__all__ = [
    "app",
    "evaluate",
    "exercises",
    "inspect",
    "lesson",
    "main",
    "model",
    "page",
    "studio",
    "sweep",
    "train",
]


def main() -> None:
    """Run the command line."""
    # Pillow remarks on metadata that is not needed; what cannot be read is an error that names the file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    app()
