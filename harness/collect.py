"""From a results folder to the tables that the report reads."""

import shlex
from collections.abc import Sequence
from typing import Any

import pandas as pd
from lengthwise.harness.job import evaluation_key
from lengthwise.harness.plan import Run
from lengthwise.harness.provenance import machine, versions
from lengthwise.harness.report.results import (
    DISTANCE_COLUMNS,
    EVALUATION_COLUMNS,
    RUN_COLUMNS,
    Results,
    frame,
)
from lengthwise.harness.report.tuning import tuning_of
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
        "runs": [asked_of(run) for run in suite.runs],
    }


def asked_of(run: Run) -> dict[str, Any]:
    """What the store keeps of one run of a suite: its evaluations' keys and its task's floors at
    the trained length, beside all about it."""
    evaluate = run.evaluate
    return run.to_json() | {
        "evaluations": [evaluation_key(length, evaluate.examples) for length in evaluate.lengths],
        "floors": run.make_task().floors(run.train.length),
    }


def collect(store: Store, plan: dict[str, Any]) -> Results:
    """Everything that a plan asks for, as far as it is in the folder.

    Args:
        store: the results folder.
        plan: what `asked` said of a suite.
    """
    runs, evaluations, distances = tables(store, plan["runs"])
    return Results(
        name=plan["name"],
        runs=runs,
        evaluations=evaluations,
        distances=distances,
        suites={plan["file"]: plan["text"]},
        command=plan["command"],
        provenance={
            "report made with": ", ".join(f"{name} {each}" for name, each in versions().items()),
            "report made on": machine(),
            **({"overrides": ", ".join(plan["overrides"])} if plan["overrides"] else {}),
        },
        floors={each["id"]: each["floors"] for each in plan["runs"]},
        tuning=tuning_of(tuned) if (tuned := store.tuning()) else None,
    )


def tables(
    store: Store, runs: Sequence[dict[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """How runs ended, their scores by length, and by distance, as `Results` has them.

    Args:
        store: the results folder.
        runs: what `Run.to_json` gives of each, and the keys of its `evaluations` to read, see
            `job.evaluation_key`.
    """
    wanted = dict.fromkeys((run["id"], key) for run in runs for key in run["evaluations"])
    scores = [
        store.evaluation(run, key).assign(run=run)
        for run, key in wanted
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
    return (
        frame(rows, RUN_COLUMNS),
        evaluations.filter(items=list(EVALUATION_COLUMNS)),
        distances.filter(items=list(DISTANCE_COLUMNS)),
    )


def _status(store: Store, run: str, record: dict[str, Any], evaluations: list[str]) -> str:
    if not record:
        return "missing"
    tested = record["status"] == "diverged" or all(store.evaluated(run, key) for key in evaluations)
    return record["status"] if tested else "untested"


def _row(store: Store, run: dict[str, Any]) -> dict[str, Any]:
    evaluations = run["evaluations"]
    record = store.record(run["id"]) if store.finished(run["id"]) else {}
    failure = store.failure(run["id"], evaluations) or {}
    versions = record.get("versions", {})
    backends = record.get("backends", {})
    return {
        "run": run["id"],
        "task": run["task_label"],
        **{name: run[name] for name in ("architecture", "variant", "setting", "seed", "width")},
        "trained_length": run["train"]["length"],
        "status": failure.get("status") or _status(store, run["id"], record, evaluations),
        "steps": record.get("steps", 0),
        "planned_steps": run["train"]["steps"],
        "seconds": record.get("seconds", float("nan")),
        "parameters": record.get("parameters", 0),
        "validation": record.get("validation", float("nan")),
        "loss": record.get("loss", float("nan")),
        "error": f"{failure['stage']}\n{failure['error']}" if failure else "",
        "device": record.get("device", ""),
        "machine": record.get("machine", ""),
        "threads": record.get("threads", 0),
        "backends": "; ".join(f"{name}: {', '.join(used)}" for name, used in backends.items()),
        "versions": "; ".join(f"{name} {each}" for name, each in versions.items()),
        "finished_at": record.get("finished_at", failure.get("at", "")),
    }
