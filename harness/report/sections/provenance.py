"""Provenance: what made these numbers, and how to make them again."""

import pandas as pd
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Section, Table, Verbatim, table
from lengthwise.harness.report.units import NOTHING, count, listed, seconds, share

ORDER = 90
TITLE = "Provenance"
NO_OPERATOR = "none recorded: softmax attention is torch scaled_dot_product_attention"


def build(results: Results) -> Section:
    verbatim = [Verbatim(f"{name}, exactly as run", text) for name, text in results.suites.items()]
    if results.command:
        verbatim.insert(
            0, Verbatim("The command that makes it again", results.command, folded=False)
        )
    tables = [_facts(results)]
    if len(results.runs):
        tables.append(_every_run(results))
    return Section(tables=tables, verbatim=verbatim)


def _facts(results: Results) -> Table:
    runs = results.runs
    seeds = [str(seed) for seed in sorted(set(runs["seed"]))]
    finished = sorted(text for text in runs["finished_at"] if text)
    facts = {
        **results.provenance,
        "device of the runs": _distinct(runs.loc[:, "device"]),
        "machine of the runs": _distinct(runs.loc[:, "machine"]),
        "threads": _distinct(runs.loc[runs["threads"] > 0, "threads"].astype(str)),
        **_backends(runs),
        "versions of the runs": _distinct(runs.loc[:, "versions"]),
        "seeds": listed(seeds) if seeds else NOTHING,
        "training time, all runs": seconds(float(runs.loc[:, "seconds"].sum())),
        "first run finished": finished[0] if finished else NOTHING,
        "last run finished": finished[-1] if finished else NOTHING,
    }
    return table(
        "provenance",
        "What the numbers were made with.",
        pd.DataFrame({"what": list(facts), "value": list(facts.values())}),
        {},
    )


def _backends(runs: pd.DataFrame) -> dict[str, str]:
    """What computed each architecture that was trained, a line each.

    Runs of softmax attention stored by earlier versions record none.
    """
    trained = runs.loc[runs["steps"] > 0]
    return {
        f"backends, {architecture}": _distinct(of_architecture["backends"])
        if (of_architecture["backends"] != "").any()
        else NO_OPERATOR
        for architecture, of_architecture in trained.groupby("architecture", sort=False)
    }


def _every_run(results: Results) -> Table:
    columns = [
        "run",
        "task",
        "architecture",
        "variant",
        "setting",
        "seed",
        "status",
        "steps",
        "seconds",
        "parameters",
        "validation",
        "loss",
        "device",
    ]
    return table(
        "runs",
        "Every run of the plan, chosen or not.",
        results.runs.drop(columns="error"),
        {
            **dict.fromkeys(("steps", "planned_steps", "trained_length", "parameters"), count),
            "seconds": seconds,
            "validation": share,
            "loss": lambda loss: f"{loss:.3g}" if loss == loss else NOTHING,
            "status": lambda status: status.replace("_", " "),
        },
        columns=columns,
        folded=True,
    )


def _distinct(values: pd.Series) -> str:
    """Each value once, with how many runs had it where there are several."""
    counts = values.loc[values != ""].value_counts(sort=False)
    if len(counts) == 1:
        return str(counts.index[0])
    return "; ".join(f"{value} ({number} runs)" for value, number in counts.items()) or NOTHING
