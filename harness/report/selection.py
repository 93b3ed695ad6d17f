"""Which setting stands for an architecture: chosen on validation, reported on test."""

import pandas as pd

LINE = ["task", "architecture", "variant"]
"""What makes one line of the report."""


def choose_settings(runs: pd.DataFrame) -> pd.DataFrame:
    """The setting with the best mean validation accuracy over seeds, for every line.

    A seed that diverged counts as 0, so that a setting does not win by the seeds it lost. A seed
    that failed, ran out of memory or is missing says nothing about accuracy and is left out of
    the mean, as is a finished one without validation. Ties, and lines where nothing was
    validated, go to the setting planned first. Test accuracies are never looked at.

    Returns:
        One row a line in the order of `runs`: task, architecture, variant, setting, validation
        (the mean that won; NaN when there is none) and candidates (settings it was chosen from).

    >>> runs = pd.DataFrame({
    ...     "task": "mqar", "architecture": "mamba", "variant": "", "status": "finished",
    ...     "setting": ["lr=0.1", "lr=0.1", "lr=0.01", "lr=0.01"],
    ...     "validation": [0.99, 0.2, 0.9, 0.8]})
    >>> choose_settings(runs)["setting"].item()
    'lr=0.01'
    """
    scores = runs["validation"].mask(runs["status"] == "diverged", 0.0)
    means = (
        runs.assign(validation=scores)
        .groupby([*LINE, "setting"], sort=False)
        .agg({"validation": "mean"})
        .reset_index()
    )
    means["candidates"] = means.groupby(LINE)["setting"].transform("size")
    best_first = means.sort_values("validation", ascending=False, kind="stable")
    return best_first.drop_duplicates(LINE).sort_index().reset_index(drop=True)


def chosen_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the chosen settings, finished or not, in the order they stand in."""
    chosen = choose_settings(runs)
    return runs.merge(chosen[[*LINE, "setting"]], on=[*LINE, "setting"], how="inner")
