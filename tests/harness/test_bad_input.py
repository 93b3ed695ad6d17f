"""Wrong input: exit status 2 and one readable message, before anything is computed."""

import re
from pathlib import Path

import pytest

from tests.harness.tiny import TINY, lengthwise, write

BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    + [
        f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]"
        for x, y in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)

BAD_FILES = {
    "a misspelt field": (
        TINY.replace("batch_size", "batchsize"),
        r"tiny\.yaml:9:3: train\.batchsize: unknown field \(did you mean 'batch_size'\?\)",
    ),
    "a misspelt field deep down": (
        TINY.replace("{lr: 1e-2}", "{lrr: 1e-2}"),
        r"tiny\.yaml:16:15: train\.optimizer\.lrr: unknown field \(did you mean 'lr'\?\)",
    ),
    "a misspelt option of a mixer": (
        TINY.replace("attention: {heads", "attention: {head"),
        r"tiny\.yaml:4:17: architectures\.0\.attention\.head: unknown field "
        r"\(did you mean 'heads'\?\)",
    ),
    "a misspelt option of a task": (
        TINY.replace("num_pairs", "num_pair"),
        r"tiny\.yaml:2:36: tasks\.0\.num_pair: unknown field \(did you mean 'num_pairs'\?\)",
    ),
    "a wrong type": (
        TINY.replace("length: 16", "length: long"),
        r"tiny\.yaml:8:3: train\.length: .*valid integer.*not 'long'",
    ),
    "a negative number": (
        TINY.replace("batch_size: 8", "batch_size: -8"),
        r"tiny\.yaml:9:3: train\.batch_size: .*greater than 0.*not -8",
    ),
    "a length that the task cannot fill": (
        TINY.replace("lengths: [16, 32]", "lengths: [6, 16]"),
        r"tiny\.yaml:17:22: evaluate\.lengths\.0: mqar: num_pairs: 2 does not fit length 6",
    ),
    "a training length that the task cannot fill": (
        TINY.replace("length: 16", "length: 4"),
        r"tiny\.yaml:8:3: train\.length: mqar: num_pairs: 2 does not fit length 4",
    ),
    "an unknown mixer": (
        TINY.replace("gated_delta_net", "gated_deltanet"),
        r"tiny\.yaml:5:5: architectures\.1.*unknown mixer 'gated_deltanet' "
        r"\(did you mean 'gated_delta_net'\?\)",
    ),
    "an unknown task": (
        TINY.replace("name: mqar", "name: mqra"),
        r"tiny\.yaml:2:8: .*unknown task 'mqra' \(did you mean 'mqar'\?\)",
    ),
    "a dotted path to nowhere": (
        TINY.replace("gated_delta_net", "nowhere.at_all:Mixer"),
        r"cannot import the mixer 'nowhere\.at_all:Mixer': ModuleNotFoundError",
    ),
    "a dotted path to something else": (
        TINY.replace("gated_delta_net: {heads: 1}", "pathlib:Path"),
        r"pathlib:Path is not a concrete subclass of Mixer",
    ),
    "heads that do not divide the width": (
        TINY.replace("gated_delta_net: {heads: 1}", "gated_delta_net: {heads: 3}"),
        r"tiny\.yaml:5:5: architectures\.1: heads: 3 does not divide the width 8",
    ),
    "an infinite learning rate": (
        TINY.replace("lr: 1e-2", "lr: .inf"),
        r"tiny\.yaml:16:15: train\.optimizer\.lr: .*finite number.*not inf",
    ),
    "a learning rate that is not a number": (
        TINY.replace("lr: 1e-2", "lr: .nan"),
        r"tiny\.yaml:16:15: train\.optimizer\.lr: .*not nan",
    ),
    "a swept learning rate that is not finite": (
        TINY.replace("seed: [0, 1, 2]", "train.optimizer.lr: [1e-3, .inf]"),
        r"tiny\.yaml:18:36: train\.optimizer\.lr: .*finite number.*not inf",
    ),
    "a sweep over a field that is not there": (
        TINY.replace("seed: [0, 1, 2]", "train.optimizer.lrr: [1e-3]"),
        r"tiny\.yaml:18:31: .*cannot vary 'train\.optimizer\.lrr': unknown field 'lrr' "
        r"\(did you mean 'lr'\?\)",
    ),
    "a choice over a field that is not swept": (
        TINY + "report: {best_over: [train.optimizer.lr]}\n",
        r"tiny\.yaml:19:22: report\.best_over\.0: 'train\.optimizer\.lr' is not swept",
    ),
    "more in a batch than there are examples": (
        TINY.replace("batch_size: 8", "batch_size: 97"),
        r"tiny\.yaml:9:3: train\.batch_size: 97 is more than the 96 training examples",
    ),
    "two architectures of one name": (
        TINY.replace("gated_delta_net", "attention"),
        r"tiny\.yaml:5:5: architectures\.1: a second 'attention'",
    ),
    "no task": (
        TINY.replace("task: {", "tusk: {"),
        r"tiny\.yaml:2:1: tusk: unknown field \(did you mean 'tasks'\?\)",
    ),
    "an empty file": ("", r"tiny\.yaml: the file is empty"),
    "a comment alone": ("# nothing\n", r"tiny\.yaml: the file is empty"),
    "a list": ("- 1\n- 2\n", r"tiny\.yaml:1:1: must be a mapping"),
    "a file that is not YAML": ("name: [1, 2\ntask: x\n", r"tiny\.yaml:2:5: not YAML"),
    "a learning rate of its own that is misspelt": (
        TINY.replace("attention: {heads: 1}", "{mixer: attention, train: {optimizer: {lrr: 1}}}"),
        r"tiny\.yaml:4:44: architectures\.0\.train\.optimizer\.lrr: unknown field "
        r"\(did you mean 'lr'\?\)",
    ),
    "a batch of its own that is too large": (
        TINY.replace("attention: {heads: 1}", "{mixer: attention, train: {batch_size: 97}}"),
        r"tiny\.yaml:4:32: architectures\.0\.train\.batch_size: 97 is more than the 96",
    ),
    "a learning rate both swept and its own": (
        TINY.replace(
            "attention: {heads: 1}", "{mixer: attention, train: {optimizer: {lr: 1}}}"
        ).replace("seed: [0, 1, 2]", "train.optimizer.lr: [1e-3]"),
        r"tiny\.yaml:4:44: architectures\.0\.train\.optimizer\.lr: .* is also swept",
    ),
    "a swept length that the task cannot fill": (
        TINY.replace("seed: [0, 1, 2]", "train.length: [16, 4]"),
        r"tiny\.yaml:18:28: train\.length: mqar: num_pairs: 2 does not fit length 4",
    ),
    "a truth among lengths": (
        TINY.replace("lengths: [16, 32]", "lengths: [true, 16]"),
        r"tiny\.yaml:17:12: evaluate\.lengths: should be a number",
    ),
    "a truth for a number": (
        TINY.replace("batch_size: 8", "batch_size: true"),
        r"tiny\.yaml:9:3: train\.batch_size: should be a number, not True",
    ),
    "a truth for a number of a mixer": (
        TINY.replace("attention: {heads: 1}", "attention: {heads: true}"),
        r"tiny\.yaml:4:17: architectures\.0\.attention\.heads: should be a number, not True",
    ),
    "a size below one": (
        TINY.replace("attention: {heads: 1}", "attention: {heads: -2}"),
        r"tiny\.yaml:4:5: architectures\.0: heads: -2 must be at least 1",
    ),
    "a seed that stands twice": (
        TINY.replace("seed: [0, 1, 2]", "seed: [0, 1, 0]"),
        r"tiny\.yaml:18:22: sweep\.seed\.2: 0 stands twice",
    ),
    "a length that stands twice": (
        TINY.replace("lengths: [16, 32]", "lengths: [16, 16]"),
        r"tiny\.yaml:17:12: evaluate\.lengths: must ascend, each length once, not \[16, 16\]",
    ),
    "no lengths": (
        TINY.replace("lengths: [16, 32]", "lengths: []"),
        r"tiny\.yaml:17:12: evaluate\.lengths: .*at least 1 item",
    ),
    "a choice of seeds": (
        TINY + "report: {best_over: [seed]}\n",
        r"tiny\.yaml:19:22: report\.best_over\.0: seeds are averaged, never chosen",
    ),
    "a warm-up longer than training": (
        TINY.replace("warmup_steps: 2", "warmup_steps: 24"),
        r"tiny\.yaml:15:3: train\.warmup_steps: 24 is not less than the 24 steps",
    ),
    "more mixers than layers": (
        TINY.replace("attention: {heads: 1}", "{mixers: [attention, mamba]}"),
        r"tiny\.yaml:4:6: architectures\.0\.mixers: 2 mixers are more than the 1 layers",
    ),
    "a wrong option inside an option": (
        TINY.replace("gap: uniform", "gap: {fixed: 20, x: 1}"),
        r"tiny\.yaml:2:\d+: tasks\.0\.gap",
    ),
    "a merge of no mapping": (TINY + "<<: 5\n", r"tiny\.yaml:19:1: << must bring a mapping, not 5"),
    "brackets without end": ("[" * 3000, r"tiny\.yaml: not YAML: nested too deeply"),
    "a key that stands twice": (
        TINY + "name: again\n",
        r"tiny\.yaml:19:1: the key 'name' stands twice",
    ),
    "a YAML bomb": (BOMB, r"tiny\.yaml:\d+:\d+: more than 100,000 values"),
    "an alias to itself": ("name: &a [*a]\n", r"tiny\.yaml:1:7: more than .* 50 levels"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_suite_file_is_refused_with_its_place_and_a_remedy(
    text: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(tmp_path, text)
    out = tmp_path / "results"
    assert lengthwise(monkeypatch, "run", file, "--out", out) == 2
    errors = capsys.readouterr().err
    assert re.search(message, errors), errors
    assert "Traceback" not in errors
    assert not out.exists()


def test_a_number_with_an_exponent_and_no_point_is_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lengthwise(monkeypatch, "check", write(tmp_path, TINY.replace("1e-2", "1E-2"))) == 0


def test_every_problem_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TINY.replace("batch_size", "batchsize").replace("warmup_steps: 2", "warmup_steps: few")
    assert lengthwise(monkeypatch, "check", write(tmp_path, text)) == 2
    errors = capsys.readouterr().err
    assert "batchsize" in errors
    assert "warmup_steps" in errors
