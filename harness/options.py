"""Options that several commands take, and how a command that was stopped ends."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set one field, e.g. train.optimizer.lr=3e-3. Repeatable.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Results folder; results/<name in the file> unless given.")
]
DevicesOption = Annotated[
    str,
    typer.Option(
        help="Devices to spread populations over, e.g. cpu or cuda:0,cuda:1; all GPUs unless given."
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes at a time; all cores or devices unless given."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def chosen_devices(text: str) -> tuple[str, ...]:
    """The devices of a comma-separated list; of none all GPUs, or the CPU.

    Raises:
        InputError: one of them cannot be used.
    """
    import torch
    from lengthwise.harness.source import InputError

    if not text:
        return tuple(f"cuda:{n}" for n in range(torch.cuda.device_count())) or ("cpu",)
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        try:
            if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
                raise RuntimeError("it is neither cpu nor cuda:N")
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"--devices {name}: cannot be used: {error}") from None
    return names


def check_known(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses a value of an option that there is not.

    Raises:
        InputError: one is unknown; the message names the nearest.
    """
    from lengthwise.harness.source import InputError, nearest

    names = list(known)
    for each in given:
        if each not in names:
            raise InputError(f"--{option} {each}: unknown{nearest(each, names)}")


@contextmanager
def stoppable() -> Iterator[None]:
    """Ends the command with status 130 on Ctrl-C, once everything is saved."""
    try:
        yield
    except KeyboardInterrupt:
        message = "stopped; everything is saved, and the same command goes on"
        Console(stderr=True).print(message, style="yellow")
        raise typer.Exit(130) from None
