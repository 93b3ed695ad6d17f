"""Where and with what something was computed."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def versions() -> dict[str, str]:
    """Versions of what decides a result; ours with the commit when it runs from a git checkout."""
    commit = _commit()
    ours = version("lengthwise")
    return {
        "lengthwise": f"{ours} ({commit})" if commit else ours,
        "torch": version("torch"),
        "python": platform.python_version(),
    }


@cache
def machine() -> str:
    """Operating system, processor and cores."""
    parts = (f"{platform.system()} {platform.machine()}", _processor(), f"{cores()} cores")
    return ", ".join(part for part in parts if part)


def cores() -> int:
    """Cores that this process may use, which a scheduler may have made fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _commit() -> str | None:
    here = Path(__file__).resolve()
    # Installed somewhere inside another project's checkout, this file is not of that repository.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=12")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
