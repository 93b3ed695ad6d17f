"""From a results folder to the tables that the report reads."""

import os
import platform
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from lengthwise.harness.job import evaluation_key
from lengthwise.harness.report.results import (
    DISTANCE_COLUMNS,
    EVALUATION_COLUMNS,
    RUN_COLUMNS,
    Results,
    frame,
)
from lengthwise.harness.store import Store
from lengthwise.harness.suite import Suite


def asked(suite: Suite, command: list[str]) -> dict[str, Any]:
    """What the store keeps of a suite: all that a report needs beside the results."""
    return {
        "name": suite.name,
        "file": suite.file.name,
        "text": suite.text,
        "overrides": list(suite.overrides),
        "command": shlex.join(command),
        "lengths": suite.settings.evaluate.lengths,
        "examples": suite.settings.evaluate.examples,
        "runs": [run.to_json() for run in suite.runs],
    }


def collect(store: Store) -> Results:
    """Everything that the last suite asked of this folder, as far as it is there.

    Raises:
        InputError: the folder holds no suite.
    """
    plan = store.suite()
    runs = plan["runs"]
    keys = [evaluation_key(length, plan["examples"]) for length in plan["lengths"]]
    scores = [
        store.evaluation(run, key).assign(run=run)
        for run in dict.fromkeys(each["id"] for each in runs)
        for key in keys
        if store.evaluated(run, key)
    ]
    rows = [_row(store, run) for run in runs]
    distances = pd.concat(scores) if scores else frame([], DISTANCE_COLUMNS | EVALUATION_COLUMNS)
    whole = {
        name: "sum" if name in ("answers", "correct") else "first" for name in EVALUATION_COLUMNS
    }
    evaluations = distances.groupby(["run", "length"], as_index=False, sort=False).agg(
        {name: how for name, how in whole.items() if name not in ("run", "length")}
    )
    return Results(
        name=plan["name"],
        runs=frame(rows, RUN_COLUMNS),
        evaluations=evaluations.filter(items=list(EVALUATION_COLUMNS)),
        distances=distances.filter(items=list(DISTANCE_COLUMNS)),
        suites={plan["file"]: plan["text"]},
        command=plan["command"],
        provenance=provenance(plan["overrides"]),
    )


def _row(store: Store, run: dict[str, Any]) -> dict[str, Any]:
    record = store.record(run["id"]) if store.finished(run["id"]) else {}
    failure = store.failure(run["id"]) or {}
    versions = record.get("versions", {})
    backends = record.get("backends", {})
    return {
        "run": run["id"],
        "task": run["task_label"],
        **{name: run[name] for name in ("architecture", "variant", "setting", "seed")},
        "trained_length": run["train"]["length"],
        "status": failure.get("status") or record.get("status", "missing"),
        "steps": record.get("steps", 0),
        "planned_steps": run["train"]["steps"],
        "seconds": record.get("seconds", float("nan")),
        "parameters": record.get("parameters", 0),
        "validation": record.get("validation", float("nan")),
        "loss": record.get("loss", float("nan")),
        "error": f"{failure['stage']}\n{failure['error']}" if failure else "",
        "device": record.get("device", ""),
        "backends": "; ".join(f"{name}: {', '.join(used)}" for name, used in backends.items()),
        "versions": "; ".join(f"{name} {each}" for name, each in versions.items()),
        "finished_at": record.get("finished_at", failure.get("at", "")),
    }


def provenance(overrides: list[str]) -> dict[str, str]:
    """Where the report was made."""
    packages = ("lengthwise", "torch", "numpy", "pandas")
    return {
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "python": platform.python_version(),
        "commit": _commit() or "not a git checkout",
        "machine": ", ".join(
            (f"{platform.system()} {platform.machine()}", _processor(), f"{os.cpu_count()} cores")
        ),
        **({"overrides": ", ".join(overrides)} if overrides else {}),
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
