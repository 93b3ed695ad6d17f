"""The benchmark of the operators, at sizes too small to say anything about speed."""

import json
import re

import numpy as np
import pytest
import torch
from lengthwise import kernels
from lengthwise.harness.bench.kernels import contenders, huggingface, timing
from lengthwise.harness.bench.kernels.cases import relative_error
from lengthwise.harness.bench.kernels.contenders import Contender, Missing
from lengthwise.harness.bench.kernels.decode import decode
from lengthwise.harness.bench.kernels.devices import cpu, cuda
from lengthwise.harness.bench.kernels.measure import PRODUCT, compare, measure
from lengthwise.harness.bench.kernels.problems import (
    DEFINITIONS,
    Operations,
    Problem,
    problems,
    softmax_operations,
)

from tests.harness.tiny import lengthwise

TINY = {
    "gated_delta_rule": [(2, 40, 2, 8)],
    "gated_linear_attention": [(2, 40, 2, 8)],
    "selective_scan": [(2, 40, 24, 4)],
    "causal_conv1d": [(2, 40, 24, 4)],
}
PROBLEMS = [problem for name, shapes in TINY.items() for problem in problems(name, shapes)]


def nothing(*_: object) -> None:
    pass


def name_of(problem: Problem) -> str:
    return f"{problem.operator} {problem.variant}".strip()


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.0)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name_of)
def test_every_row_names_who_computed_it(problem: Problem) -> None:
    rows = measure(problem, cpu.rivals, 2, nothing, product_size=16)
    names = [row.who for row in rows]
    assert len(set(names)) == len(names)
    assert names[0] in kernels.operators()[problem.operator]
    assert "chunked" in names
    for row in rows:
        assert (row.operator, row.variant, row.shape) == (
            problem.operator,
            problem.variant,
            problem.shape,
        )
        assert row.missing or (row.forward and row.both)
    assert rows[0].forward is not None
    assert rows[0].forward.behind == 1.0


def test_whatever_backend_is_chosen_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_BACKEND", "reference")
    problem = PROBLEMS[0]
    assert [each.who for each in contenders.ours(problem, problem.inputs())] == [
        "reference",
        "chunked",
    ]
    monkeypatch.setenv("LENGTHWISE_BACKEND", "chunked")
    assert [each.who for each in contenders.ours(problem, problem.inputs())] == ["chunked"]


@pytest.mark.parametrize("problem", PROBLEMS, ids=name_of)
def test_rivals_compute_the_same_as_we_do(problem: Problem) -> None:
    pytest.importorskip("transformers", reason="the test extra brings transformers")
    inputs = problem.inputs()
    ours, *others = contenders.ours(problem, inputs)
    expected = ours.call(**ours.inputs)
    others += [each for each in cpu.rivals(problem, inputs) if isinstance(each, Contender)]
    for each in others:
        if each.who != "torch SDPA":
            found = each.call(**each.inputs)
            found = found if found.shape == expected.shape else found.mT
            assert relative_error(found, expected) <= 1e-5, each.who


def test_softmax_attention_of_a_backend_of_ours_equals_torchs() -> None:
    inputs = PROBLEMS[1].inputs()
    ours, torchs = (contenders.softmax_attention(inputs, *who) for who in (("reference",), ()))
    assert (ours.who, torchs.who) == ("reference", contenders.SDPA)
    with kernels.session() as entered:
        for found, expected in zip(contenders.both(ours)(), contenders.both(torchs)(), strict=True):
            assert found.shape == expected.shape
    assert entered.chosen == {"softmax_attention": {"reference"}}
    assert relative_error(ours.call(**ours.inputs), torchs.call(**torchs.inputs)) <= 1e-6


def test_on_a_gpu_our_softmax_attention_has_torchs_beside_it() -> None:
    timed = [(each.who, each.problem.shape) for each in cuda.TIMED if each.softmax]
    ours = [shape for who, shape in timed if who == "triton"]
    assert (2048, 64, 1, 64) in ours
    for shape in ours:
        assert (contenders.SDPA, shape) in timed


@pytest.mark.parametrize("operator", DEFINITIONS)
def test_rivals_decode_the_same_token_as_we_do(operator: str) -> None:
    pytest.importorskip("transformers", reason="the test extra brings transformers")
    problem = cpu.DECODED[operator]
    inputs = problem.inputs() | {"initial_state": problem.state()}
    ours, *others = contenders.ours(problem, inputs)
    expected = ours.call(**ours.inputs)
    for each in (*others, *cpu.decoding_rivals(problem, inputs)):
        assert isinstance(each, Contender)
        found = each.call(**each.inputs).reshape(expected.shape)
        assert relative_error(found, expected) <= 1e-5, each.who


def test_ratios_come_from_the_same_rounds() -> None:
    work = Operations(forward=10, backward=20)
    ours, rival = (Contender(who, nothing, {}, work) for who in ("avx2", "rival"))  # pyright: ignore
    seconds = {PRODUCT: np.array([1.0, 1.0, 2.0])}
    for what in ("forward", "both"):
        seconds["avx2", what] = np.array([1.0, 2.0, 4.0])
        seconds["rival", what] = np.array([3.0, 2.0, 40.0])
    speeds = compare([ours, rival], seconds, product_operations=100)
    forward, both = speeds["rival", "forward"], speeds["rival", "both"]
    assert forward.milliseconds == 3000.0
    assert forward.behind == 3.0  # the median of 3, 1 and 10; that of the medians is 1.5
    assert forward.gflops == pytest.approx(10 / 3 * 1e-9)
    assert forward.share == pytest.approx(10 / 300)  # of 3 %, 5 % and 0.5 %
    assert both.gflops == pytest.approx(30 / 3 * 1e-9)
    assert speeds["avx2", "forward"].behind == 1.0


def test_contenders_take_turns_and_long_calls_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "once", lambda call: call())
    monkeypatch.setattr(timing, "turn", lambda call: call())
    order: list[str] = []

    def call(name: str, seconds: float) -> timing.Call:
        def spend() -> float:
            order.append(name)
            return seconds

        return spend

    ticks: list[None] = []
    calls = {"short": call("short", 0.1), "long": call("long", 11.0)}
    spent = timing.interleaved(calls, 3, lambda: ticks.append(None))
    assert order == ["short", "long"] * 2 + ["short"] * 2
    assert len(ticks) == 4
    assert spent["short"].tolist() == [0.1] * 3
    np.testing.assert_array_equal(spent["long"], [11.0, np.nan, np.nan])
    assert timing.ratio(spent["long"], spent["short"]) == pytest.approx(110)


@pytest.mark.parametrize("operator", DEFINITIONS)
def test_one_token_is_held_against_touching_the_state(operator: str) -> None:
    steps = decode(cpu.DECODED[operator], cpu.decoding_rivals, 2, nothing)
    for step in steps:
        assert step.missing or step.times_touch
    batch, _, *sizes = cpu.DECODED[operator].shape
    taps = 1 if operator == "causal_conv1d" else 0
    matrix = [sizes[0], sizes[1], sizes[1]] if "gated" in operator else [sizes[0], sizes[1] - taps]
    assert steps[0].state_bytes == 4 * batch * int(np.prod(matrix))


def test_operations_are_counted_as_the_docstring_says() -> None:
    def counted(problem: Problem) -> tuple[int, int]:
        *_, size = problem.shape
        unit = int(np.prod(problem.shape)) * size
        operations = problem.operations
        return operations.forward // unit, operations.backward // unit

    attention = [counted(problem) for problem in PROBLEMS if "gated" in problem.operator]
    assert attention == [(7, 15), (4, 8), (5, 11), (5, 11)]
    assert Problem("selective_scan", "", (1, 1, 1, 16)).operations == Operations(115, 247)
    assert Problem("causal_conv1d", "", (1, 1, 1, 4)).operations == Operations(9, 17)
    assert softmax_operations(1, 3, 2, 64).both == 2 * 6 * 12 * 64


def test_a_missing_rival_is_a_row_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unfindable(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(huggingface, "import_module", unfindable)
    monkeypatch.setattr(cpu, "SHAPES", TINY)
    arguments = ["--operator", "causal_conv1d", "--rounds", "1"]
    assert lengthwise(monkeypatch, "bench", "kernels", *arguments) == 0
    assert "transformers: not installed" in capsys.readouterr().out
    problem = PROBLEMS[0]
    missing = huggingface.gated_delta_rule(problem, problem.inputs())
    assert isinstance(missing, Missing)


def test_the_command_prints_every_contender(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "SHAPES", TINY)
    threads = torch.get_num_threads()
    assert lengthwise(monkeypatch, "bench", "kernels", "--rounds", "1", "--threads", "1") == 0
    printed = capsys.readouterr().out
    assert torch.get_num_threads() == threads
    assert "1 threads" not in printed
    assert "1 thread" in printed
    for word in (*TINY, "(2, 40, 2, 8)", "chunked", "torch SDPA", "GFLOP/s", "one token"):
        assert word in printed


def test_the_numbers_come_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "SHAPES", TINY)
    filters = ["--operator", "causal_conv1d", "--operator", "causal_conv1d"]
    arguments = [*filters, "--rounds", "2", "--json"]
    assert lengthwise(monkeypatch, "bench", "kernels", *arguments) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert {row["operator"] for row in numbers["problems"]} == {"causal_conv1d"}
    assert numbers["problems"][0]["both"]["rounds"] == 2
    assert numbers["decoding"][0]["microseconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--operator", "gated_delta"], r"unknown \(did you mean 'gated_delta_rule'\?\)"),
        (["--threads", "0"], "greater than or equal to 1|x>=1"),
        (["--rounds", "0"], "greater than or equal to 1|x>=1"),
        (["--device", "cpuu"], r"did you mean 'cpu'"),
        (["--out", "x.svg"], "only a sweep draws a figure"),
        (["--sweep", "length", "--out", "x.gif"], r"ends in one of \.svg"),
        (["--sweep", "width"], "length"),
        (["--sweep", "length", "--out", "/dev/null/x.svg"], "cannot be written"),
    ],
    ids=" ".join,
)
def test_a_bad_call_is_refused(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lengthwise(monkeypatch, "bench", "kernels", *arguments) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--check",), "--check: compares on a GPU"),
        (("--longest", "256"), "--longest 256: only a sweep has lengths"),
        (("--device", "cudo"), "did you mean 'cuda'"),
        (("--device", "cuda", "--rounds", "3"), "--rounds: with --device cuda"),
        (("--device", "cuda", "--sweep", "length"), "--sweep: with --device cuda"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert lengthwise(monkeypatch, "bench", "kernels", *options) == 2
    assert message in capsys.readouterr().err


def test_cuda_without_a_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert lengthwise(monkeypatch, "bench", "kernels", "--device", "cuda") == 2
    assert "finds no NVIDIA GPU" in capsys.readouterr().err
