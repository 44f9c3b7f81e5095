"""Which device there is, found without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def gpu_name() -> str | None:
    """The name of the first visible NVIDIA GPU, or None.

    Asks the driver's own tool: importing torch to learn that there is no GPU takes seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return None
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    first = visible.partition(",")[0].strip() if visible else None
    named = _names(tool, f"--id={first}") if first else []
    names = named or _names(tool)  # not every name that CUDA takes is one that the tool takes
    return names[0] if names else None


def _names(tool: str, *options: str) -> list[str]:
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader", *options],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.strip().splitlines()]


def device_class(device: str) -> str | None:
    """The device class of `cpu` or `cuda`; None where there is no such device here."""
    return "cpu" if device == "cpu" else gpu_name()


@cache
def machine() -> dict[str, str]:
    """The machine in words, for provenance: never part of a run's identity."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
