"""The commands of `lengthwise bench`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)
console = Console()


@bench.command("data")
def data(
    length: Annotated[int, typer.Option(min=2, help="Tokens in an example.")] = 64,
    count: Annotated[int, typer.Option(min=1, help="Examples a call.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Calls; the median counts.")] = 11,
    device: Annotated[str, typer.Option(help="Where they are made.")] = "cpu",
) -> None:
    """Measure how many examples of each task are generated in a second."""
    from lengthwise.harness.bench.data import all_tasks

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "length", "examples/s", "tokens/s"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for rate in all_tasks(length, count, repeats, device):
        numbers = (f"{rate.examples_per_second:,.0f}", f"{rate.tokens_per_second:,.0f}")
        table.add_row(rate.task, str(rate.length), *numbers)
    console.print(table)


@bench.command("kernels")
def kernels(
    device: Annotated[str, typer.Option(help="Where the operators compute.")] = "cpu",
    operator: Annotated[
        list[str], typer.Option(help="Only this operator. Repeatable; all unless given.")
    ] = [],  # noqa: B006
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Turns of each contender; 7, or 3 for a sweep, unless given."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; as many as torch takes unless given.")
    ] = None,
    sweep: Annotated[
        Literal["length"] | None,
        typer.Option(help="Draw the time of the forward pass against length instead."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The sweep's figure (.svg, .png, .pdf); results/bench/length.svg unless given."
        ),
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option(
            min=128,
            help="The sweep's last length; 2^20 tokens, which take 2 to 12 GiB, unless given.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="On a GPU: hold every operator against float64 as well."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure the operators beside other people's implementations, in one run.

    On a CPU every contender takes one turn a round; times are medians over the rounds, ratios
    medians of the ratios within a round. On a GPU (--device cuda) the report is Markdown: GPU time,
    launches, wall time with and without a CUDA graph, peak memory, first call.
    """
    from lengthwise.harness.bench.kernels import options, run
    from lengthwise.harness.bench.kernels.sweep import LONGEST

    if device == "cuda":
        given = {"--operator": operator, "--rounds": rounds, "--threads": threads, "--sweep": sweep}
        options.on_gpu(given | {"--out": out, "--longest": longest, "--json": as_json})
        from lengthwise.harness.bench.kernels.gpu_report import report

        for line in report(check=check):
            print(line, flush=True)
        return
    options.on_cpu(check=check)
    asked = options.operators(operator)
    place = options.device(device)
    figure = options.figure(out, longest, swept=sweep is not None)
    shown = Console(quiet=as_json)
    with options.using_threads(threads):
        shown.print(run.setting(), style="dim", highlight=False, soft_wrap=True)
        if sweep:
            lengths = options.lengths(longest or LONGEST)
            numbers = run.against_length(asked, lengths, rounds or 3, figure, shown)
        else:
            numbers = run.side_by_side(asked, place, rounds or 7, shown)
    if as_json:
        print(json.dumps(numbers, indent=1))


@bench.command("train")
def train(
    device: Annotated[
        str, typer.Option(help="cpu or cuda:N; the first GPU unless given, if there is one.")
    ] = "",
    architecture: Annotated[
        list[str], typer.Option(help="Only this one. Repeatable; all unless given.")
    ] = [],  # noqa: B006
    setting: Annotated[
        list[int], typer.Option(help="Only this row of settings, from 1. Repeatable.")
    ] = [],  # noqa: B006
    members: Annotated[list[int], typer.Option(min=1, help="Members of a population.")] = [1, 4],  # noqa: B006
    precision: Annotated[list[str], typer.Option(help="bfloat16, tf32 or float32.")] = ["bfloat16"],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=0, help="Of each of a row's measurements.")] = 1.0,
    check: Annotated[
        bool, typer.Option("--check", help="Also compare stacked members with runs alone.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also list the kernels of every row's step.")
    ] = False,
) -> None:
    """Measure the training loop beside the usual one, as a report in Markdown.

    Recall with a vocabulary of 8192, two layers. The usual loop trains one model in float32 with
    examples made on the host, logits at every position, and a loss that is read after every step.
    """
    from lengthwise.harness.bench.train.options import asked
    from lengthwise.harness.bench.train.report import report

    wanted = asked(device, architecture, setting, members, precision, seconds, profile=profile)
    for line in report(wanted, check=check):
        print(line, flush=True)
