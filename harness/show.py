"""One example of a task, coloured: where facts stand, where answers are due, what they are."""

from lengthwise.tasks.task import Batch, Task
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def example(task: Task, batch: Batch, length: int) -> RenderableType:
    """A picture of the first example of a batch."""
    tokens = batch.tokens[0].tolist()
    answers = {
        position: (answer, distance)
        for position, answer, distance, valid in zip(
            batch.positions[0].tolist(),
            batch.answers[0].tolist(),
            batch.distances[0].tolist(),
            batch.mask[0].tolist(),
            strict=True,
        )
        if valid
    }
    sources = {position - distance for position, (_, distance) in answers.items()}
    text = Text()
    for position, token in enumerate(tokens):
        if position in answers:
            text.append(f"{token}", style="bold black on bright_yellow")
            text.append(f"→{answers[position][0]}", style="bold green")
        elif position in sources:
            text.append(f"{token}", style="bold cyan underline")
        else:
            text.append(f"{token}", style="dim")
        text.append(" ")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("position", "token read", "answer", "distance"):
        table.add_column(heading, justify="right")
    for position, (answer, distance) in answers.items():
        table.add_row(str(position), str(tokens[position]), str(answer), str(distance))
    key = Text("underlined: a fact · ", style="dim")
    key.append("yellow", style="black on bright_yellow")
    key.append(": an answer is due, and →which", style="dim")
    floors = "".join(f", {name} {value:.4g}" for name, value in task.floors(length).items())
    chance = Text(f"chance {task.chance(length):.4g}{floors}", style="dim")
    return Group(text, Text(), key, chance, Text(), table)
