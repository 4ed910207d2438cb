"""The ways to other libraries, and back."""

import os


def processes() -> tuple[int, int]:
    """Return this process's rank and how many there are, as ``torchrun`` and its like say; else (0, 1)."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
