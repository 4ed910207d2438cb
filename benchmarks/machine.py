"""Describe the machine that the numbers were measured on."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("neocog", "numpy", "numba", "torch", "jax", "onnxruntime", "openvino")
FLAGS = ("sse4_2", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
SETTINGS = ("OPENBLAS_", "OMP_", "MKL_", "NUMBA_", "NEOCOG_NUM", "XLA_", "KMP_", "GOTO_")


def describe() -> dict[str, Any]:
    """Return processor, system, versions, date, and the settings in the environment that change the speed."""
    import numpy as np  # noqa: F401 - brings its BLAS along, to be asked
    from threadpoolctl import threadpool_info

    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _lines("/proc/cpuinfo").get("model name", platform.processor()),
        "flags": [flag for flag in FLAGS if flag in _flags()],
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "memory": int(_lines("/proc/meminfo").get("MemTotal", "0").split()[0]) << 10,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "blas": [
            f"{info['internal_api']} {info['version']} ({info.get('architecture', '?')} kernels)"
            for info in threadpool_info()
            if info["user_api"] == "blas"
        ],
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)},
        "versions": dict(_versions()),
        "commit": _commit(),
    }


def _lines(file: str) -> dict[str, str]:
    """Read a file of ``key: value`` lines; nothing where there is none."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _flags() -> set[str]:
    information = _lines("/proc/cpuinfo")
    return set(f"{information.get('flags', '')} {information.get('Features', '')}".split())


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _commit() -> str:
    """Return the short name of the commit, with a plus if files have changed since."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip()
