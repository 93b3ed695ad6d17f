"""Runs the tests of the Triton kernels where Triton has not been imported yet."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CASES = sorted(path.name for path in Path(__file__).parent.glob("*_cases.py"))


@pytest.mark.parametrize("cases", CASES)
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_the_triton_kernels_pass_their_tests(cases: str) -> None:
    interpret = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    path = str(Path(__file__).with_name(cases))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    run = subprocess.run(
        command, env=os.environ | interpret, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_importing_the_operators_does_not_import_triton() -> None:
    program = "import sys, lengthwise.kernels; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
