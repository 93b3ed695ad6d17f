"""What the report says in sentences, made from the results alone."""

from collections.abc import Mapping, Sequence

from lengthwise.harness.report.curves import Curve, by_task, curves
from lengthwise.harness.report.results import ENDED_BADLY, Results
from lengthwise.harness.report.units import count, listed, multiple, plural, share
from lengthwise.harness.statistics import THRESHOLD

FEW_SEEDS = 3
"""Below this many seeds an interval says little and the report says so."""


def headline(results: Results) -> tuple[str, list[tuple[str, str]]]:
    """The answer in words: an opening sentence, then a (label, sentence) for each line.

    The label is the architecture's, with its variant where there are several.
    """
    lines = curves(results)
    if not any(curve.seeds for curve in lines):
        return "No run has finished yet, so there is nothing to report on capability.", []
    opening = (
        f"How far each architecture keeps a mean accuracy of at least {THRESHOLD:g} as the "
        "context grows (in brackets: times the length it was trained at):"
    )
    labels = dict.fromkeys(curve.label for curve in lines)
    return opening, [
        (label, _sentence([curve for curve in lines if curve.label == label])) for label in labels
    ]


def notices(results: Results) -> list[str]:
    """What a reader must know before reading on: few seeds, failures, runs still missing."""
    measured = [curve for curve in curves(results) if curve.seeds]
    few = [curve for curve in measured if curve.seeds < FEW_SEEDS]
    status = results.runs["status"].tolist()
    bad, missing = sum(one in ENDED_BADLY for one in status), status.count("missing")
    untested = status.count("untested")
    said = []
    if few and len(few) == len(measured):
        most = max(curve.seeds for curve in few)
        said.append(
            f"Fewer than {FEW_SEEDS} seeds: no line here holds more than {plural(most, 'seed')}."
            + (" The bars say nothing about other seeds." if most == 1 else "")
        )
    elif few:
        names = listed([f"{curve.label} on {curve.task} ({curve.seeds})" for curve in few])
        said.append(f"Fewer than {FEW_SEEDS} seeds were measured for {names}.")
    if bad:
        said.append(f"{bad:,} of {plural(len(status), 'run')} did not finish: see Failures.")
    if untested:
        said.append(
            f"{untested:,} of {plural(len(status), 'planned run')} "
            f"{'is' if untested == 1 else 'are'} trained but not fully tested: see Failures."
        )
    if missing:
        said.append(f"{missing:,} of {plural(len(status), 'planned run')} are not there yet.")
    return said


def coverage(
    lines: Sequence[Curve], seeds: Mapping[tuple[str, str, str], int] | None = None
) -> str:
    """How many of the planned seeds the lines of a figure hold, point by point where they differ.

    Args:
        lines: all that the figure should show.
        seeds: the seeds it shows of each line, by `Curve.key`, where it does not show every
            length; a line that is not among them is not in the figure.
    """
    held = {
        curve.key: curve.seeds_at.tolist() if seeds is None else [seeds.get(curve.key, 0)]
        for curve in lines
    }
    short = [curve for curve in lines if min(held[curve.key]) < curve.planned]
    planned = sorted({curve.planned for curve in lines})
    if len(planned) == 1:
        number = "its one planned seed" if planned[0] == 1 else f"its {planned[0]} planned seeds"
    else:
        number = "all its planned seeds"
    if not short:
        return f"Each line holds {number}."
    names = [f"{curve.label} on {curve.task} ({_held(curve, held[curve.key])})" for curve in short]
    return f"Each line holds {number}, except {listed(names)}."


def overview(results: Results) -> str:
    """One line under the title: what was run."""
    runs = results.runs
    parts = [plural(len(runs), "run")]
    parts += [plural(len(set(runs[name])), name) for name in ("task", "architecture")]
    parts.append(plural(len(set(runs["seed"])), "seed"))
    trained = sorted(int(length) for length in set(runs["trained_length"]))
    if trained:
        parts.append(f"trained at {listed([count(length) for length in trained])} tokens")
    lengths = results.evaluations["length"].tolist()
    if lengths:
        parts.append(f"evaluated at {count(min(lengths))} to {count(max(lengths))} tokens")
    return " · ".join(parts)


def _held(curve: Curve, seeds: Sequence[int]) -> str:
    """The seeds of one line: "2 of 3", or "3 of 3 from 64, 1 of 3 from 512 tokens"."""
    if len(set(seeds)) == 1:
        return f"{seeds[0]} of {curve.planned}"
    starts = [index for index, n in enumerate(seeds) if index == 0 or n != seeds[index - 1]]
    parts = [
        f"{seeds[index]} of {curve.planned} from {count(curve.lengths[index])}" for index in starts
    ]
    return f"{', '.join(parts)} tokens"


def _sentence(lines: Sequence[Curve]) -> str:
    """What one architecture keeps, tasks in the order of the plan."""
    kept, lost, unknown = [], [], []
    for task, (curve, *_) in by_task(tuple(lines)).items():
        if not curve.seeds:
            unknown.append(task)
        elif curve.effective.length:
            kept.append(_kept(task, curve))
        else:
            lost.append(f"{task} ({share(curve.mean[0])} at {count(curve.lengths[0])} tokens)")
    clauses = [
        f"keeps {listed(kept)}" if kept else "",
        f"does not reach it on {listed(lost)}" if lost else "",
        f"has no result on {listed(unknown)}" if unknown else "",
    ]
    return "; ".join(clause for clause in clauses if clause) + "."


def _kept(task: str, curve: Curve) -> str:
    reached = curve.effective
    times = multiple(reached.length / curve.trained_length)
    end = ", the longest evaluated" if reached.bound == "≥" else ""
    return f"{task} up to {count(reached.length)} tokens ({times}{end})"
