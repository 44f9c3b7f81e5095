"""The state of an unfinished run on disk: whole or not at all."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write the state of a run, replacing an earlier one in a single step.

    Args:
        path: File to write; its folder is made if need be.
        identity: What the run is; only a run of the same identity will read the file back.
        state: Tensors, numbers, strings and containers of these.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            torch.save({"identity": identity, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def load_checkpoint(path: Path, identity: str, device: torch.device | str) -> dict[str, Any] | None:
    """Read back the state of the same run.

    Args:
        path: File that `save_checkpoint` wrote; it need not exist.
        identity: What the run is.
        device: Where tensors are put.

    Returns:
        The state, or None where there is none to use. A file that cannot be read, or that belongs
        to another run, is passed over with a warning: starting afresh is always right.
    """
    if not path.exists():
        return None
    try:
        # No code runs on loading: only tensors and plain containers are accepted.
        content = torch.load(path, map_location=device, weights_only=True)
        found, state = content["identity"], content["state"]
    except Exception as error:
        warnings.warn(f"checkpoint {path.name} ignored, it is damaged: {error}", stacklevel=2)
        return None
    if found != identity:
        warnings.warn(f"checkpoint {path.name} ignored, it is another run's", stacklevel=2)
        return None
    return dict(state)
