"""The projection by torch, and by Triton where it is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lengthwise.kernels import linear

CASES = Path(__file__).with_name("projection_cases.py")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_the_triton_kernel_passes_its_tests() -> None:
    interpret = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    run = subprocess.run(
        command, env=os.environ | interpret, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_it_is_torch_s_product() -> None:
    x, weight, bias = torch.randn(2, 3, 5), torch.randn(7, 5), torch.randn(7)
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
    assert linear(x[0, 0], weight).shape == (7,)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        ((2, 4), (7, 5), None, r"x must be \[..., D\] and weight \[O, D\]"),
        ((2, 5), (7, 5), (5,), r"bias must be \[O\] = \[7\], not \[5\]"),
    ],
)
def test_shapes_that_contradict_each_other_are_named(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        linear(torch.zeros(x), torch.zeros(weight), None if bias is None else torch.zeros(bias))
