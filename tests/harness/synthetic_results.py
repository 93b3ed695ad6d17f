"""Invented but realistic results for the tests of the report. Nothing here was measured."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from lengthwise.harness.report.results import (
    DISTANCE_COLUMNS,
    EVALUATION_COLUMNS,
    RUN_COLUMNS,
    Results,
    frame,
)

TASKS = {"mqar": 1 / 4096, "selective_copying": 1 / 16, "needle": 1 / 8}
"""The chance of each task."""
FLOORS = {"mqar": {"value set": 1 / 4}}
REACH = {"attention": 190.0, "linear_attention": 240.0, "mamba": 520.0, "gated_delta_net": 1700.0}
"""The length, in tokens, at which half of each architecture's capability is gone."""
EASE = {"mqar": 1.0, "selective_copying": 0.6, "needle": 1.6}
LENGTHS = (64, 128, 256, 512, 1024)
SECONDS_PER_TOKEN = {"linear_attention": 5e-7, "mamba": 2.2e-6, "gated_delta_net": 1.2e-6}
STATE_BYTES = {"linear_attention": 33_280, "mamba": 17_408, "gated_delta_net": 35_840}
TRACEBACK = """Traceback (most recent call last):
  File "harness/train.py", line 88, in train
    loss.backward()
RuntimeError: shape <script>alert("mixed")</script> & [256, 64] does not fit [256, 63]"""
YAML = """name: recall
tasks: [{name: mqar, num_pairs: 4}, {name: selective_copying}, {name: needle}]
train: {length: 64, steps: 6_000, optimizer: {lr: 1e-3}}  # <b>not bold</b>
sweep: {seed: [0, 1, 2]}
"""


def synthetic_results(
    *,
    tasks: Sequence[str] = tuple(TASKS),
    architectures: Sequence[str] = tuple(REACH),
    settings: Sequence[str] = ("",),
    variants: Sequence[str] = ("",),
    widths: Sequence[int] = (64,),
    seeds: int = 3,
    lengths: Sequence[int] = LENGTHS,
    accidents: bool = True,
) -> Results:
    """Results of a whole plan; with `accidents` one run diverged and one failed.

    Where there are several widths, the variants name them.
    """
    runs, evaluations, distances = [], [], []
    for index, (task, architecture, variant, width, setting, seed) in enumerate(
        (task, architecture, variant, width, setting, seed)
        for task in tasks
        for architecture in architectures
        for variant in variants
        for width in widths
        for setting in settings
        for seed in range(seeds)
    ):
        random = np.random.default_rng(index)
        best = setting == settings[-1]
        accident = (
            accidents and best and variant == variants[0] and _accident(task, architecture, seed)
        )
        run = f"{index:08x}"
        reach = REACH[architecture] * EASE[task] * random.uniform(0.85, 1.15)
        reach *= (1.0 if best else 0.4) * width / widths[0]
        status = accident or ("solved" if architecture == "gated_delta_net" else "finished")
        runs.append(
            {
                "run": run,
                "task": task,
                "architecture": architecture,
                "variant": f"width={width}, {variant}".removesuffix(", ")
                if len(widths) > 1
                else variant,
                "setting": setting,
                "seed": seed,
                "width": width,
                "trained_length": lengths[0],
                "status": status,
                "steps": 1200 if accident else 3500 if status == "solved" else 6000,
                "planned_steps": 6000,
                "seconds": random.uniform(35, 60) * (0.4 if accident else 1.0),
                "parameters": 186_000 + 4_000 * list(REACH).index(architecture),
                "validation": np.nan if accident else _accuracy(lengths[0], reach, TASKS[task]),
                "loss": np.nan if accident else random.uniform(0.01, 0.3),
                "error": {"diverged": "loss is nan at step 1200", "failed": TRACEBACK}.get(
                    status, ""
                ),
                "device": "NVIDIA H100 80GB HBM3",
                "machine": "16-core AMD EPYC, Linux",
                "threads": 4,
                "backends": "gated_delta_rule: chunked" if "delta" in architecture else "",
                "versions": "torch 2.13.0, lengthwise 0.1.0",
                "finished_at": f"2025-01-02T03:{index % 60:02d}:00",
            }
        )
        if accident:
            continue
        chance = TASKS[task]
        curve = {length: _accuracy(length, reach, chance) for length in lengths}
        evaluations += [
            _evaluation(random, run, architecture, length, accuracy, chance)
            for length, accuracy in curve.items()
        ]
        distances += _distances(random, run, lengths[-1], curve[lengths[-1]], chance)
    return Results(
        name="recall",
        runs=frame(runs, RUN_COLUMNS),
        evaluations=frame(evaluations, EVALUATION_COLUMNS),
        distances=frame(distances, DISTANCE_COLUMNS),
        suites={"recall.yaml": YAML},
        command="lengthwise run configs/recall.yaml --out results/recall",
        provenance={"lengthwise": "0.1.0", "torch": "2.13.0", "commit": "0123abcd"},
        floors={each["run"]: FLOORS.get(each["task"], {}) for each in runs},
    )


def no_results() -> Results:
    """A plan of which nothing was run."""
    planned = synthetic_results(accidents=False)
    return replace(
        planned,
        runs=planned.runs.assign(
            status="missing", steps=0, seconds=np.nan, validation=np.nan, finished_at=""
        ),
        evaluations=frame([], EVALUATION_COLUMNS),
        distances=frame([], DISTANCE_COLUMNS),
    )


def _accident(task: str, architecture: str, seed: int) -> str:
    return {
        ("mqar", "mamba", 2): "diverged",
        ("needle", "linear_attention", 1): "failed",
    }.get((task, architecture, seed), "")


def _accuracy(length: int, reach: float, chance: float) -> float:
    return float(chance + (0.995 - chance) / (1 + (length / reach) ** 4))


def _evaluation(
    random: np.random.Generator,
    run: str,
    architecture: str,
    length: int,
    accuracy: float,
    chance: float,
) -> dict[str, object]:
    answers = 4000
    growth = 4e-9 * length if architecture == "attention" else SECONDS_PER_TOKEN[architecture]
    return {
        "run": run,
        "length": length,
        "examples": answers // 4,
        "answers": answers,
        "correct": random.binomial(answers, accuracy),
        "exact": random.binomial(answers // 4, accuracy**4),
        "chance": chance,
        "seconds": (2e-4 + growth * length) * random.uniform(0.97, 1.03),
        "state_bytes": STATE_BYTES.get(architecture, 1024 * length),
    }


def _distances(
    random: np.random.Generator, run: str, length: int, accuracy: float, chance: float
) -> list[dict[str, object]]:
    rows = []
    for low in (2**power for power in range(int(np.log2(length)))):
        easier = min(0.99, chance + (accuracy - chance) * (1.5 - 0.9 * low / length))
        answers = 400 + low
        rows.append(
            {
                "run": run,
                "length": length,
                "low": low,
                "high": 2 * low,
                "answers": answers,
                "correct": random.binomial(answers, easier),
            }
        )
    return rows
