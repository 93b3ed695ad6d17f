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
from rich.progress import track
from rich.table import Table


@dataclass(frozen=True)
class Estimate:
    """One population, estimated from one training step and one test example a length."""

    training_seconds: float
    testing_seconds: float
    parameters: int
    state_bytes: int
    """At the longest tested length."""


def dry_run_table(suite: Suite, options: Options, console: Console) -> None:
    """Prints the plan of a suite; nothing is stored."""
    folder = options.folder(suite)
    store = Store(folder)
    jobs, workers = plan_jobs(suite, store, options)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("population")
    for heading in ("runs", "steps", "parameters", "state bytes", "train at most", "test"):
        table.add_column(heading, justify="right")
    total = 0.0
    for job in track(jobs, "timing one step of each", console=console, transient=True):
        found = estimate(job)
        total += found.training_seconds + found.testing_seconds
        table.add_row(
            job.label,
            str(len(job.untrained(store))),
            f"{job.runs[0].train.steps:,}",
            f"{found.parameters:,}",
            f"{found.state_bytes:,}",
            duration(found.training_seconds),
            duration(found.testing_seconds),
        )
    console.print(table)
    runs = sum(len(job.untrained(store)) for job in jobs)
    done = len(suite.runs) - runs
    console.print(
        f"{suite.name}: {runs} runs to train, {done} already in {folder}; about "
        f"{duration(total / workers)} with {workers} workers if no run is solved early",
        highlight=False,
    )


def estimate(job: Job) -> Estimate:
    """Times the second training step, and one example a member at each length."""
    torch.set_num_threads(job.threads)
    population = Population(job.runs, job.device)
    train = job.runs[0].train
    batch = population.batch("train", 0, train.batch_size, train.length)
    population.train_step(batch)
    begin = time.perf_counter()
    population.train_step(batch)
    step = time.perf_counter() - begin
    validations = train.steps / train.validate_every * train.validation_examples
    examples = {length: float(job.examples) for length in job.lengths}
    members = len(job.runs)
    probe = {
        length: evaluate(population, "test", length, 8)[0].seconds * members
        for length in {train.length, *job.lengths}
    }
    return Estimate(
        training_seconds=step * train.steps + validations * probe[train.length],
        testing_seconds=sum(probe[length] * count for length, count in examples.items()),
        parameters=sum(population.sizes),
        state_bytes=population.model.state_bytes(max(job.lengths)),
    )


def duration(seconds: float) -> str:
    """
    >>> duration(75), duration(7300)
    ('1 min 15 s', '2 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
