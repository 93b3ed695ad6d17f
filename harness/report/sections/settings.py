"""Which setting was chosen for each line, from how many, on what evidence."""

from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Section, table
from lengthwise.harness.report.selection import choose_settings
from lengthwise.harness.report.units import share

ORDER = 30
TITLE = "Chosen settings"


def build(results: Results) -> Section | None:
    chosen = choose_settings(results.runs)
    if chosen.empty or set(chosen["candidates"]) == {1}:
        return None
    columns = {"validation": "mean validation", "candidates": "settings tried"}
    return Section(
        tables=[
            table(
                "chosen-settings",
                "For every architecture and task the setting with the best mean accuracy on "
                "validation examples at the trained length; a seed that diverged counts as 0, "
                "others without a result are left out, and test accuracies played no part. All "
                "other sections show these settings.",
                chosen.rename(columns=columns),
                {"mean validation": share},
            )
        ]
    )
