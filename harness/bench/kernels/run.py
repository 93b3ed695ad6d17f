"""The two measurements from beginning to end: side by side, and against length."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from lengthwise.harness.bench.kernels.decode import Step, decode
from lengthwise.harness.bench.kernels.figure import chart
from lengthwise.harness.bench.kernels.measure import Row, measure
from lengthwise.harness.bench.kernels.problems import problems
from lengthwise.harness.bench.kernels.show import (
    LEGEND,
    decode_table,
    problem_table,
    sweep_table,
)
from lengthwise.harness.bench.kernels.sweep import SOFTMAX, Sizes, fitted, stops, sweep
from lengthwise.harness.display import advancing
from lengthwise.harness.provenance import machine, versions
from lengthwise.harness.report.drawing import whole_figure
from lengthwise.harness.report.units import plural
from lengthwise.harness.source import InputError
from rich.console import Console


def setting() -> str:
    """What the numbers depend on, in a line."""
    threads = plural(torch.get_num_threads(), "thread")
    return f"{machine()}; {threads}, float32, torch {versions()['torch']}"


def side_by_side(
    operators: Sequence[str], device: ModuleType, rounds: int, shown: Console
) -> dict[str, Any]:
    """Prints each problem's table as it is measured; returns all numbers as plain data.

    Args:
        operators: by name.
        device: a module of `devices/`.
        rounds: turns of each contender.
        shown: where tables go; progress goes to the error stream.
    """
    asked = [each for name in operators for each in problems(name, device.SHAPES[name])]
    rows: list[Row] = []
    steps: list[Step] = []
    total = (len(asked) + len(operators)) * (rounds + 1)
    with advancing(total, Console(stderr=True, quiet=shown.quiet)) as advance:
        for problem in asked:
            what = f"{problem.operator} {problem.shape}"
            measured = measure(problem, device.rivals, rounds, lambda what=what: advance(what))
            shown.print(problem_table(measured), highlight=False)
            rows += measured
        for name in operators:
            decoded = decode(
                device.DECODED[name],
                device.decoding_rivals,
                rounds,
                lambda name=name: advance(f"{name}, one token"),
            )
            shown.print(decode_table(decoded), highlight=False)
            steps += decoded
    shown.print(LEGEND, style="dim", highlight=False)
    return {
        "setting": setting(),
        "rounds": rounds,
        "problems": [asdict(row) for row in rows],
        "decoding": [asdict(step) for step in steps],
    }


def against_length(
    operators: Sequence[str], lengths: Sequence[int], repeats: int, figure: Path, shown: Console
) -> dict[str, Any]:
    """Prints the table of a sweep, draws it into a file, and returns its numbers as plain data.

    Raises:
        InputError: the figure cannot be written.
    """
    _check_writable(figure)  # before the minutes that the measurement takes
    total = len(lengths) * (len(operators) + 1)
    with advancing(total, Console(stderr=True, quiet=shown.quiet)) as advance:
        lines = sweep(operators, lengths, repeats, advance)
    caption = " ".join(
        (
            f"Time of the forward pass against length ({Sizes()}; {setting()}), medians of "
            f"{repeats}; {SOFTMAX} is causal. Exponents are fitted by least squares on logarithms "
            "to the upper half of the lengths.",
            *stops(lines),
        )
    )
    figure.write_bytes(whole_figure(chart(lines, caption))[figure.suffix.removeprefix(".")])
    shown.print(sweep_table(lines), highlight=False)
    shown.print(caption, style="dim", highlight=False)
    shown.print(f"figure: {figure}", highlight=False, soft_wrap=True, markup=False)
    data = [asdict(line) | asdict(fitted(line)) for line in lines]
    return {"setting": setting(), "figure": str(figure), "caption": caption, "lines": data}


def _check_writable(file: Path) -> None:
    there = file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise InputError(f"--out {file}: cannot be written: {error.strerror}") from None
    if not there:
        file.unlink()
