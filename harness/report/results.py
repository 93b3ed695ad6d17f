"""What a report is made from: plain tables, checked at the border."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from lengthwise.harness.report.tuning import Tuning

RUN_COLUMNS = {
    "run": "str",
    "task": "str",
    "architecture": "str",
    "variant": "str",
    "setting": "str",
    "seed": "int64",
    "width": "int64",
    "trained_length": "int64",
    "status": "str",
    "steps": "int64",
    "planned_steps": "int64",
    "seconds": "float64",
    "parameters": "int64",
    "validation": "float64",
    "loss": "float64",
    "error": "str",
    "device": "str",
    "machine": "str",
    "threads": "int64",
    "backends": "str",
    "versions": "str",
    "finished_at": "str",
}
EVALUATION_COLUMNS = {
    "run": "str",
    "length": "int64",
    "examples": "int64",
    "answers": "int64",
    "correct": "int64",
    "exact": "int64",
    "chance": "float64",
    "seconds": "float64",
    "state_bytes": "int64",
}
DISTANCE_COLUMNS = {
    "run": "str",
    "length": "int64",
    "low": "int64",
    "high": "int64",
    "answers": "int64",
    "correct": "int64",
}

ENDED_WELL = ("finished", "solved")
ENDED_BADLY = ("diverged", "out_of_memory", "failed")
NOT_THERE_YET = ("untested", "missing")
"""Untested: trained, but some evaluation that was asked for is missing."""
STATUSES = (*ENDED_WELL, *ENDED_BADLY, *NOT_THERE_YET)


def frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A table with these columns and dtypes, also where there are no rows.

    >>> list(frame([], DISTANCE_COLUMNS).columns)
    ['run', 'length', 'low', 'high', 'answers', 'correct']
    """
    return pd.DataFrame(list(rows), columns=pd.Index(list(columns))).astype(dict(columns))


@dataclass(frozen=True)
class Results:
    """Everything a report shows.

    Args:
        name: the suite's name, the page's title.
        runs: one row a planned run, `RUN_COLUMNS`. `variant` holds swept fields that are compared
            ("width=64"), `setting` those over which the best is chosen ("lr=0.003"); each "" when
            there are none. `validation` is the accuracy at the trained length on validation
            examples; `machine` and `threads` are what it ran on, "" and 0 where that is not known.
            Rows stand in the order of the plan: the report keeps it.
        evaluations: one row a run and length, `EVALUATION_COLUMNS`. `exact` counts examples with
            every answer right; `seconds` is one example's forward pass; `state_bytes` what
            decoding must carry at that length.
        distances: one row a run, length and bin of distance, low ≤ tokens < high.
        suites: the exact YAML text of each suite file, by file name.
        command: the command line that makes the results again.
        provenance: versions, commit, machine, device, …, in the order to show them.
        floors: of each run by its id, what knowing only part of an answer gives at the trained
            length, by name.
        tuning: of a study, what was tried before these runs.

    Raises:
        ValueError: a table lacks a column, or a run has an unknown status.
    """

    name: str
    runs: pd.DataFrame
    evaluations: pd.DataFrame
    distances: pd.DataFrame
    suites: Mapping[str, str]
    command: str
    provenance: Mapping[str, str]
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tuning: Tuning | None = None

    def __post_init__(self) -> None:
        for name, table, columns in (
            ("runs", self.runs, RUN_COLUMNS),
            ("evaluations", self.evaluations, EVALUATION_COLUMNS),
            ("distances", self.distances, DISTANCE_COLUMNS),
        ):
            lacking = [column for column in columns if column not in table.columns]
            if lacking:
                raise ValueError(f"{name} lacks {', '.join(lacking)}; it has {list(table.columns)}")
        unknown = sorted(set(self.runs["status"]) - set(STATUSES))
        if unknown:
            raise ValueError(f"status {unknown[0]!r} is none of {', '.join(STATUSES)}")
