"""optuna-dashboard shows a study: its page opens in a browser."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lengthwise.harness.tune.storage import create_or_load, opened, sqlite

from tests.harness.tune.postgresql import free_port
from tests.harness.tune.tiny_study import STUDY, study, wait_until

pytest.importorskip("optuna_dashboard", reason="the test extra brings optuna-dashboard")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
]


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return found


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@contextmanager
def dashboard(storage: str) -> Iterator[str]:
    """Its address, once it answers."""
    port = free_port()
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, storage, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, "optuna-dashboard ended by itself"
        try:
            return bool(fetched(f"{address}/api/studies"))
        except OSError:
            return False

    try:
        wait_until(answers)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_dashboard_serves_the_studies_and_its_page_opens_in_a_browser(tmp_path: Path) -> None:
    browser, made = chromium(), study(tmp_path, text=STUDY)
    with opened(sqlite(tmp_path)) as storage:
        for contender in made.contenders:
            create_or_load(made, contender, storage)
    with dashboard(sqlite(tmp_path)) as address:
        served = json.loads(fetched(f"{address}/api/studies"))["study_summaries"]
        names = {each["study_name"] for each in served}
        assert names == {"tiny-study/attention", "tiny-study/gated_delta_net"}
        page = subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address],
            capture_output=True,
            timeout=120,
            check=True,
        ).stdout.decode()
    assert "Optuna Dashboard" in page
    for name in names:
        assert name in page
