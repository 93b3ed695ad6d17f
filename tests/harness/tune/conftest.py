"""A study that is over, for every test that only reads one."""

from pathlib import Path

import pytest

from tests.harness.tiny import lengthwise, write
from tests.harness.tune.tiny_study import STUDY


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results folder, with study.yaml beside it."""
    folder = tmp_path_factory.mktemp("study")
    file, out = write(folder, STUDY, "study.yaml"), folder / "results"
    with pytest.MonkeyPatch.context() as patched:
        assert lengthwise(patched, "tune", file, "--out", out, "--quiet") == 0
    return out
