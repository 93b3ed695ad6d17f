"""Runs the tests of the Triton kernels where Triton has not been imported yet."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FILES = sorted(str(path) for path in Path(__file__).parent.glob("*_cases.py"))
SHARES = 4
"""Processes: each spends ten seconds on importing torch, Triton and torch's compiler."""


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_the_triton_kernels_pass_their_tests(share: int) -> None:
    interpret = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    files = FILES[share::SHARES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    run = subprocess.run(
        command, env=os.environ | interpret, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_importing_the_operators_does_not_import_triton() -> None:
    program = "import sys, lengthwise.kernels; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
