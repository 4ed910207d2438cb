"""Run sweeps: train every setting of a grid with several seeds, on all cores or on a cluster.

>>> found = sweep("lines-b", {"lr": [0.03, 0.12], "epochs": [5]}, seeds=2, jobs=1)
>>> found
Sweep(lines-b, 4 of 4 points, best lr=0.12, epochs=5: validation accuracy 0.972 ± 0.028)
"""

from neocog.sweeps.grid import GRID_KEYS, parse_grid
from neocog.sweeps.result import Candidate, Sweep
from neocog.sweeps.runner import open_sweep, resume, sweep
from neocog.sweeps.worker import Failure

__all__ = ["GRID_KEYS", "Candidate", "Failure", "Sweep", "open_sweep", "parse_grid", "resume", "sweep"]
