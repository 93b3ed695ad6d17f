"""What a suite would run: runs, parameters, state, and the time, from one measured step."""

import time
from dataclasses import dataclass

import torch
from lengthwise.harness.evaluate import evaluate
from lengthwise.harness.job import Job
from lengthwise.harness.population import Population
from lengthwise.harness.run import Options, plan_jobs
from lengthwise.harness.store import Store
from lengthwise.harness.suite import Suite
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """One population, measured on one training step and a few test examples a length."""

    training_seconds: float
    testing_seconds: float
    parameters: int
    state_bytes: int
    """At the longest tested length."""


def dry_run_table(suite: Suite, options: Options, console: Console) -> None:
    """Prints the plan of a suite; nothing is stored."""
    folder = options.folder(suite)
    store = Store(folder)
    jobs, slots = plan_jobs(suite, store, options)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("population", no_wrap=True)
    for heading in ("runs", "steps", "parameters", "state bytes", "train at most", "test"):
        table.add_column(heading, justify="right")
    seconds = 0.0
    for job in track(jobs, "timing one step of each", console=console, transient=True):
        label, runs = escape(job.label), len(job.untrained(store))
        try:
            found = estimate(job, store, slots[0])
        except Exception as error:
            table.add_row(label, str(runs), escape(f"{type(error).__name__}: {error}"))
            continue
        seconds += found.training_seconds + found.testing_seconds
        table.add_row(
            label,
            str(runs),
            f"{job.runs[0].train.steps:,}",
            f"{found.parameters:,}",
            f"{found.state_bytes:,}",
            duration(found.training_seconds),
            duration(found.testing_seconds),
        )
    console.print(table)
    runs = {run.id for run in suite.runs}
    left = {run.id for job in jobs for run in job.untrained(store)}
    console.print(
        f"{suite.name}: {len(left)} runs to train, {len(runs - left)} already in {folder}; about "
        f"{duration(seconds / len(slots))} with {len(slots)} workers if no run is solved early",
        highlight=False,
        markup=False,
    )


def estimate(job: Job, store: Store, device: str) -> Estimate:
    """Times what is missing of a job: its third training step, and 8 examples at each length."""
    torch.set_num_threads(job.threads)
    population = Population(job.runs, device)
    train = job.runs[0].train
    untested = {
        length: len(job.untrained(store)) + len(job.untested(store, length))
        for length in job.lengths
    }
    example = {
        length: evaluate(population, "test", length, 8)[0].seconds
        for length in {train.length, *job.lengths}
    }
    training = 0.0
    if untrained := len(job.untrained(store)):
        step = 0.0
        for _ in range(min(3, train.steps)):  # of which the first compile and record
            begin = time.perf_counter()
            population.advance()
            population.take_losses()
            step = (time.perf_counter() - begin) / len(job.runs)
        validated = train.steps / train.validate_every * train.validation_examples
        training = untrained * (step * train.steps + example[train.length] * validated)
    return Estimate(
        training_seconds=training,
        testing_seconds=sum(
            count * job.examples * example[length] for length, count in untested.items()
        ),
        parameters=sum(each.numel() for each in population.model.parameters()),
        state_bytes=population.model.state_bytes(max(job.lengths)),
    )


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(75), duration(7320)
    ('1 min 15 s', '2 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
