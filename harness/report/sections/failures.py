"""Failures: every run that did not finish, and why; and those not fully tested."""

import pandas as pd
from lengthwise.harness.report.results import ENDED_BADLY, Results
from lengthwise.harness.report.section import Section, Table, Verbatim, table
from lengthwise.harness.report.units import NOTHING, count, listed, plural

ORDER = 80
TITLE = "Failures"
COLUMNS = ["run", "task", "architecture", "variant", "setting", "seed"]


def build(results: Results) -> Section:
    runs = results.runs
    bad = runs.loc[runs["status"].isin(ENDED_BADLY)]
    missing = runs.loc[runs["status"] == "missing"]
    untested = runs.loc[runs["status"] == "untested"]
    return Section(
        intro=[_counted(len(runs), len(bad), len(untested), len(missing))],
        tables=[
            *([_listing(bad)] if len(bad) else []),
            *([_untested(untested)] if len(untested) else []),
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


def _counted(planned: int, bad: int, untested: int, missing: int) -> str:
    if not planned:
        return "No run was planned."
    if not bad and not untested and not missing:
        return f"None: {plural(planned, 'planned run')}, every one finished or solved."
    numbers = [
        f"{bad:,} did not finish" if bad else "",
        f"{untested:,} {_be(untested)} trained but not fully tested" if untested else "",
        f"{missing:,} {_be(missing)} not there yet" if missing else "",
    ]
    return (
        f"Of {plural(planned, 'planned run')} {listed([text for text in numbers if text])}. "
        "What was measured of them counts; nothing stands in for what was not, and every figure "
        "says how many seeds it holds."
    )


def _listing(bad: pd.DataFrame) -> Table:
    steps = zip(bad["steps"], bad["planned_steps"], strict=True)
    listing = bad.loc[:, [*COLUMNS, "status"]].assign(
        steps=[f"{count(done)} of {count(planned)}" for done, planned in steps],
        reason=[_last_line(error) for error in bad["error"]],
    )
    caption = "Every run that did not finish, with the last line of its error."
    return table("failures", caption, listing, {"status": _words})


def _untested(untested: pd.DataFrame) -> Table:
    caption = "Runs that were trained, but lack an evaluation that was asked for."
    return table("untested-runs", caption, untested.loc[:, COLUMNS], {}, folded=True)


def _absent(missing: pd.DataFrame) -> Table:
    caption = "Runs of the plan that were not started or have not ended."
    return table("missing-runs", caption, missing.loc[:, COLUMNS], {}, folded=True)


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _words(status: str) -> str:
    return status.replace("_", " ")


def _last_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else NOTHING
