"""Time against length: as far as a minute goes, with exponents, as a figure."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from lengthwise.harness.bench.kernels import figure, sweep, timing
from lengthwise.harness.bench.kernels.problems import DEFINITIONS

from tests.harness.tiny import lengthwise

SHORT = ["--sweep", "length", "--longest", "256", "--rounds", "1"]


def nothing(*_: object) -> None:
    pass


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.0)


def test_a_sweep_draws_its_exponents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "length.svg"
    arguments = [*SHORT, "--out", str(out), "--json"]
    assert lengthwise(monkeypatch, "bench", "kernels", *arguments) == 0
    numbers = json.loads(capsys.readouterr().out)
    drawn = out.read_text(encoding="utf-8")
    assert drawn.count("<svg") == 1
    assert len(re.findall(r"\): length\^−?\d\.\d\d", drawn)) == len(DEFINITIONS) + 1
    assert [line["operator"] for line in numbers["lines"]] == [*DEFINITIONS, sweep.SOFTMAX]
    for line in numbers["lines"]:
        assert line["lengths"] == [64, 128, 256]
        assert line["points"] == 3
        assert line["who"]
    assert lengthwise(monkeypatch, "bench", "kernels", *SHORT, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "exponent" in printed
    assert "64" in printed


def test_the_legend_names_the_exponent_and_the_figure_where_a_line_stops() -> None:
    lengths = (64, 128, 256, 512)
    line = sweep.Line(
        "softmax attention",
        ("torch SDPA",),
        lengths,
        tuple(1e-6 * length**2 for length in lengths),
        stopped=90.0,
    )
    drawn = figure.chart([line], "")
    assert list(drawn.legend) == ["softmax attention (torch SDPA): length^2.00 ± 0.00"]
    assert sweep.stops([line]) == [
        "softmax attention (torch SDPA) stops at 512 tokens: the next length would take about 90 s."
    ]


def test_a_line_ends_where_the_next_length_is_predicted_to_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def quadratic(line: sweep.Line, length: int, *_: object) -> sweep.Line:
        calls.append(length)
        spent = 1e-4 * length**2
        return replace(line, lengths=(*line.lengths, length), seconds=(*line.seconds, spent))

    monkeypatch.setattr(sweep, "_extended", quadratic)
    (line,) = sweep.sweep([], [64, 128, 256, 512, 1024, 2048], 1, nothing)
    assert line.lengths == (64, 128, 256, 512)
    assert calls == [64, 128, 256, 512]
    assert line.stopped == pytest.approx(1e-4 * 1024**2)
    assert sweep.fitted(line).exponent == pytest.approx(2.0)


def test_one_disturbed_point_does_not_end_a_line() -> None:
    line = sweep.Line("", ("avx2",), (64, 128), (1e-4, 1.0))
    assert sweep.predicted(line, 256) == pytest.approx(4.0)
