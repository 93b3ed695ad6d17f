"""The measurements as people read them in a terminal."""

from collections.abc import Sequence

from lengthwise.harness.bench.kernels.decode import Step
from lengthwise.harness.bench.kernels.measure import Row, Speed
from lengthwise.harness.bench.kernels.sweep import Line, fitted
from lengthwise.harness.report.sections.cost import exponent
from lengthwise.harness.report.units import NOTHING, count, multiple, plural, seconds, size
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

LEGEND = (
    "The first row of each table is ours, with the backend that was chosen. × ours: time over ours "
    "in the same rounds, so many times faster are we. GFLOP/s: useful operations over time, those "
    "of the recurrence (of SDPA, of its matrix products below the diagonal). peak: share of the "
    "rate of a float32 matrix product in the same rounds. transformers: its torch code alone, "
    "torch_chunk_gated_delta_rule, Mamba's sequential scan (the function mamba_selective_scan, not "
    "the layer around it) and Mamba's convolution, each in the layout it was made for."
)


def problem_table(rows: Sequence[Row]) -> RenderableType:
    """One problem: a row a contender, forward beside forward + backward."""
    first = rows[0]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", min_width=12)
    for heading, width in (
        ("forward ms", 10),
        ("GFLOP/s", 7),
        ("peak", 5),
        ("× ours", 6),
        ("fwd + bwd ms", 12),
        ("GFLOP/s", 7),
        ("peak", 5),
        ("× ours", 6),
    ):
        table.add_column(heading, justify="right", min_width=width, no_wrap=True)
    notes: list[str] = []
    for row in rows:
        if row.forward is None or row.both is None:
            notes.append(f"{row.who}: {row.missing}")
            table.add_row(escape(row.who), *([NOTHING] * 8))
        else:
            table.add_row(escape(row.who), *_cells(row.forward), *_cells(row.both))
    if fewer := _rounds(rows):
        notes.append(fewer)
    return _titled(
        _title(first.operator, first.variant, first.dimensions, first.shape), table, notes
    )


def _cells(speed: Speed) -> tuple[str, ...]:
    return (
        f"{speed.milliseconds:.3g}" if speed.milliseconds < 1000 else count(speed.milliseconds),
        f"{speed.gflops:#.3g}".rstrip("."),
        f"{speed.share:.1%}",
        multiple(speed.behind),
    )


def _rounds(rows: Sequence[Row]) -> str | None:
    """Who took part in fewer rounds than ours did."""
    numbers = {
        row.who: min(row.forward.rounds, row.both.rounds)
        for row in rows
        if row.forward is not None and row.both is not None
    }
    most = max(numbers.values())
    fewer = [f"{who}: {plural(each, 'round')}" for who, each in numbers.items() if each < most]
    return f"of {most}: {', '.join(fewer)}" if fewer else None


def decode_table(steps: Sequence[Step]) -> RenderableType:
    """One token from a state."""
    first = steps[0]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", min_width=12)
    for heading in ("call", "state read and written", "× that", "× ours"):
        table.add_column(heading, justify="right", min_width=6)
    notes: list[str] = []
    for step in steps:
        numbers = (step.microseconds, step.touch_microseconds, step.times_touch, step.behind)
        if any(number is None for number in numbers):
            notes.append(f"{step.who}: {step.missing}")
        call, touch, times, behind = (number if number else float("nan") for number in numbers)
        table.add_row(
            escape(step.who),
            seconds(1e-6 * call),
            seconds(1e-6 * touch),
            *(multiple(each) if each == each else NOTHING for each in (times, behind)),
        )
    what = f"one token, {size(first.state_bytes)} of state"
    title = _title(first.operator, what, first.dimensions, first.shape)
    return _titled(title, table, notes)


def sweep_table(lines: Sequence[Line]) -> Table:
    """Times of the forward pass: a row a length, a column an operator; exponents last."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("length", justify="right")
    for line in lines:
        operator = line.operator.replace("_", "_\n").replace(" ", "\n")
        table.add_column(f"{operator}\n({', '.join(line.who)})", justify="right")
    lengths = sorted({length for line in lines for length in line.lengths})
    for length in lengths:
        spent = (dict(zip(line.lengths, line.seconds, strict=True)).get(length) for line in lines)
        table.add_row(count(length), *(seconds(each) if each else NOTHING for each in spent))
    table.add_section()
    table.add_row("exponent", *(exponent(fitted(line)) for line in lines))
    return table


def _title(operator: str, variant: str, dimensions: str, shape: tuple[int, ...]) -> str:
    sizes = ", ".join(map(str, shape))
    return f"{operator}{f', {variant}' if variant else ''}: ({dimensions}) = ({sizes})"


def _titled(title: str, table: Table, notes: Sequence[str]) -> RenderableType:
    return Group(Text(title, style="bold"), table, *(Text(note, style="dim") for note in notes), "")
