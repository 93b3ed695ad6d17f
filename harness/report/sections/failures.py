"""Failures: every run that did not finish, and why."""

import pandas as pd
from lengthwise.harness.report.results import ENDED_BADLY, Results
from lengthwise.harness.report.section import Section, Table, Verbatim, table
from lengthwise.harness.report.units import NOTHING, count, plural

ORDER = 80
TITLE = "Failures"
COLUMNS = ["run", "task", "architecture", "variant", "setting", "seed"]


def build(results: Results) -> Section:
    runs = results.runs
    bad = runs.loc[runs["status"].isin(ENDED_BADLY)]
    missing = runs.loc[runs["status"] == "missing"]
    return Section(
        intro=[_counted(len(runs), len(bad), len(missing))],
        tables=[
            *([_listing(bad)] if len(bad) else []),
            *([_absent(missing)] if len(missing) else []),
        ],
        verbatim=[
            Verbatim(
                f"{row['architecture']} on {row['task']}, seed {row['seed']} "
                f"({_words(row['status'])}, {row['run']})",
                row["error"],
            )
            for row in bad.to_dict(orient="records")
            if row["error"]
        ],
    )


def _counted(planned: int, bad: int, missing: int) -> str:
    if not planned:
        return "No run was planned."
    if not bad and not missing:
        return f"None: {plural(planned, 'planned run')}, every one finished or solved."
    numbers = [
        f"{bad:,} ended without a result" if bad else "",
        f"{missing:,} {'is' if missing == 1 else 'are'} not there yet" if missing else "",
    ]
    return (
        f"Of {plural(planned, 'planned run')} {' and '.join(filter(None, numbers))}. "
        "They count as seeds planned and not measured; nothing stands in for them."
    )


def _listing(bad: pd.DataFrame) -> Table:
    steps = zip(bad["steps"], bad["planned_steps"], strict=True)
    listing = bad.loc[:, [*COLUMNS, "status"]].assign(
        steps=[f"{count(done)} of {count(planned)}" for done, planned in steps],
        reason=[_last_line(error) for error in bad["error"]],
    )
    caption = "Every run that ended without a result, with the last line of its error."
    return table("failures", caption, listing, {"status": _words})


def _absent(missing: pd.DataFrame) -> Table:
    caption = "Runs of the plan that were not started or have not ended."
    return table("missing-runs", caption, missing.loc[:, COLUMNS], {}, folded=True)


def _words(status: str) -> str:
    return status.replace("_", " ")


def _last_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else NOTHING
