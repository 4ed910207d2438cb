"""Fetch weights from the Hugging Face Hub, by its own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["fetch", "is_hub"]

PREFIX = "hf:"
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def is_hub(name: str) -> bool:
    """Return whether a name is that of a repository of the hub: ``hf:OWNER/NAME``."""
    return name.startswith(PREFIX)


def fetch(name: str) -> tuple[Path, dict[str, Any], str]:
    """Fetch the weights of a repository, and what it says of them.

    Only ``model.safetensors`` and ``config.json`` are read, and nothing is executed. The client's own cache,
    ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` hold.

    Parameters
    ----------
    name : str
        ``hf:OWNER/NAME``, or ``hf:OWNER/NAME@REVISION``: a branch, a tag or a commit.

    Returns
    -------
    path : Path
        Of the weights.
    config : dict
    revision : str
        The commit that both are of.

    Raises
    ------
    ImportError
        If the package ``huggingface_hub`` is missing.
    ValueError
        If there is no such repository, or it has no such files.
    ConnectionError
        If the hub cannot be reached, and the files are not in the cache.
    """
    try:
        from huggingface_hub import errors as known
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f'weights by name, {name}, need the package huggingface_hub: pip install "neocog[hub]".'
        ) from error
    repository, _, revision = name.removeprefix(PREFIX).partition("@")

    def download(file: str, revision: str | None) -> Path:
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except known.LocalEntryNotFoundError as error:  # offline, or the hub does not answer
            raise ConnectionError(
                f"{name}: {file} is not in the cache, and the hub is not reached, or HF_HUB_OFFLINE is set."
            ) from error
        except known.EntryNotFoundError as error:
            raise ValueError(
                f"{name} has no {file}; nothing else is read of a repository, as other files can run code."
            ) from error
        except (known.RepositoryNotFoundError, known.RevisionNotFoundError) as error:
            raise ValueError(
                f"there is no repository or revision {name} that you may read; a name is as "
                "hf:timm/resnet18.a1_in1k or hf:timm/resnet18.a1_in1k@main."
            ) from error
        except known.HFValidationError as error:
            raise ValueError(f"{name} must be as hf:timm/resnet18.a1_in1k: {error}") from error
        except OSError as error:
            raise ConnectionError(f"{name}: {' '.join(str(error).split())}") from error

    described = download(CONFIG, revision or None)
    commit = described.parent.name  # the cache has a folder for each commit
    try:
        config = json.loads(described.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name}: its {CONFIG} is no JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{name}: its {CONFIG} must hold an object, got {type(config).__name__}.")
    return download(WEIGHTS, commit), config, commit
