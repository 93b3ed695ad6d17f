"""The results folder: one directory a run, complete or not there at all.

    lengthwise.json              format of the folder
    suite.json                   what was asked for: YAML, command, plan
    tuning.json, best.yaml       of a study: its trials and choices, and the suite they make
    checkpoints/<run>/<step>.safetensors
    locks/<shape>                held by whoever works on runs of that shape
    failures/<run>/<stage>.json  crashed or out of memory: tried again by the next call
    runs/<run>/                  written under another name, flushed, then renamed
        record.json              the run, how it ended, on what
        weights.safetensors
        history.parquet          loss and validation accuracy against step
        evaluations/<key>.parquet  scores by distance at one length

Everything is written beside its place and renamed into it, so a process may die at any moment, and
many processes may share the folder.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from lengthwise.harness.source import InputError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = 3
TRAINING = "training"
"""The stage of a run before its evaluations."""


@dataclass(frozen=True)
class Checkpoint:
    """One member at a step."""

    tensors: dict[str, Tensor]
    memory: dict[str, Any]
    """Plain data: history so far, how the run ended if it did, seconds spent."""
    companions: list[str]
    """Every run that was saved at the same time, this one included."""


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def create(root: Path) -> "Store":
        """Opens the folder for writing, making it when it is not there.

        Raises:
            InputError: it cannot be written, or was made by another version.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"{root}: cannot be written: {error.strerror}") from None
        marker = root / "lengthwise.json"
        if not marker.exists():
            _replace(marker, lambda path: path.write_text(json.dumps({"format": FORMAT})))
        return Store.open(root)

    @staticmethod
    def open(root: Path) -> "Store":
        """Opens an existing folder.

        Raises:
            InputError: it is not a results folder, or was made by another version.
        """
        marker = root / "lengthwise.json"
        try:
            found = json.loads(marker.read_text())["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{root}: is not a results folder (no readable {marker.name})"
            ) from None
        if found != FORMAT:
            raise InputError(
                f"{root}: made by another version of Lengthwise (results format {found}, this "
                f"version reads {FORMAT}); choose another folder"
            )
        return Store(root)

    # What was asked for

    def save_suite(self, asked: dict[str, Any]) -> None:
        """Keeps what was asked for; an earlier version of the same suite is replaced.

        Raises:
            InputError: the folder holds another suite.
        """
        path = self.root / "suite.json"
        if path.exists() and (held := self.suite()["name"]) != asked["name"]:
            raise InputError(
                f"{self.root}: holds the suite {held!r}, not {asked['name']!r}; "
                "choose another folder with --out"
            )
        text = json.dumps(asked, indent=1, ensure_ascii=False)
        _replace(path, lambda path: path.write_text(text, encoding="utf-8"))

    def suite(self) -> dict[str, Any]:
        """What `save_suite` kept.

        Raises:
            InputError: nothing was asked for yet.
        """
        path = self.root / "suite.json"
        if not path.exists():
            raise InputError(f"{self.root}: holds no suite")
        return _read_json(path)

    def save_tuning(self, record: dict[str, Any], best: str) -> Path:
        """Keeps what a study found, and the suite of its choices; returns the path of that."""
        text = json.dumps(record, indent=1, ensure_ascii=False)
        for name, content in (("tuning.json", text), ("best.yaml", best)):
            _replace(self.root / name, partial(Path.write_text, data=content, encoding="utf-8"))
        return self.root / "best.yaml"

    def tuning(self) -> dict[str, Any] | None:
        """What `save_tuning` kept; None of a suite."""
        path = self.root / "tuning.json"
        return _read_json(path) if path.exists() else None

    # Unfinished runs

    def save_checkpoint(self, run: str, step: int, checkpoint: Checkpoint) -> None:
        tensors = {name: each.contiguous().cpu() for name, each in checkpoint.tensors.items()}
        plain = {"memory": checkpoint.memory, "companions": checkpoint.companions}
        metadata = {"checkpoint": json.dumps(plain)}
        path = self.root / "checkpoints" / run / f"{step}.safetensors"
        _replace(path, lambda path: save_file(tensors, path, metadata))

    def checkpoint_steps(self, run: str) -> set[int]:
        folder = self.root / "checkpoints" / run
        return {int(path.stem) for path in folder.glob("*.safetensors") if path.stem.isdigit()}

    def companions(self, run: str, step: int) -> list[str]:
        """Every run that was saved together with this one, itself included."""
        path = self.root / "checkpoints" / run / f"{step}.safetensors"
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["checkpoint"])["companions"]

    def load_checkpoint(self, run: str, step: int) -> Checkpoint:
        path = self.root / "checkpoints" / run / f"{step}.safetensors"
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, **json.loads(file.metadata()["checkpoint"]))

    def drop_checkpoints(self, run: str, before: int | None = None) -> None:
        """Deletes a run's checkpoints: those before a step, or all."""
        folder = self.root / "checkpoints" / run
        if before is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for step in self.checkpoint_steps(run):
            if step < before:
                (folder / f"{step}.safetensors").unlink(missing_ok=True)

    # Finished runs

    def finished(self, run: str) -> bool:
        return (self.root / "runs" / run).is_dir()

    def save_run(
        self, run: str, record: dict[str, Any], weights: dict[str, Tensor], history: pd.DataFrame
    ) -> None:
        """Puts a finished run into its place; one already there stays, being the same."""
        final = self.root / "runs" / run
        draft = final.with_name(f".{run}-{uuid.uuid4().hex}")
        draft.mkdir(parents=True)
        (draft / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))
        if weights:
            tensors = {name: each.contiguous().cpu() for name, each in weights.items()}
            save_file(tensors, draft / "weights.safetensors")
        history.to_parquet(draft / "history.parquet", index=False)
        for path in draft.iterdir():
            _flush(path)
        _flush(draft)
        try:
            draft.rename(final)
        except OSError:
            shutil.rmtree(draft)
            if not final.is_dir():
                raise
        _flush(final.parent)

    def record(self, run: str) -> dict[str, Any]:
        return _read_json(self.root / "runs" / run / "record.json")

    def weights(self, run: str) -> dict[str, Tensor]:
        with safe_open(self.root / "runs" / run / "weights.safetensors", framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def history(self, run: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / "runs" / run / "history.parquet")

    def save_evaluation(self, run: str, key: str, scores: pd.DataFrame) -> None:
        """Adds a run's scores at one length and number of examples."""
        _replace(self._evaluation(run, key), lambda path: scores.to_parquet(path, index=False))

    def evaluated(self, run: str, key: str) -> bool:
        return self._evaluation(run, key).exists()

    def evaluation(self, run: str, key: str) -> pd.DataFrame:
        return pd.read_parquet(self._evaluation(run, key))

    def _evaluation(self, run: str, key: str) -> Path:
        return self.root / "runs" / run / "evaluations" / f"{key}.parquet"

    # Runs that broke

    def save_failure(self, run: str, stage: str, failure: dict[str, Any]) -> None:
        path = self.root / "failures" / run / f"{stage}.json"
        _replace(path, lambda path: path.write_text(json.dumps(failure, indent=1)))

    def failure(self, run: str, evaluations: Iterable[str]) -> dict[str, Any] | None:
        """How a run broke: in training as long as it is not finished, then in the first of these
        evaluations that is still missing; None when nothing broke or it has succeeded since."""
        stages = [TRAINING]
        if self.finished(run):
            stages = [each for each in evaluations if not self.evaluated(run, each)]
        paths = [self.root / "failures" / run / f"{stage}.json" for stage in stages]
        return next((_read_json(path) for path in paths if path.exists()), None)

    # Many processes

    def claim(self, shape: str) -> FileLock:
        """The lock that one process at a time holds while it works on runs of a shape."""
        path = self.root / "locks" / shape
        path.parent.mkdir(exist_ok=True)
        return FileLock(path)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file beside its place, flushes it and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        write(draft)
        _flush(draft)
        draft.replace(path)
        _flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Waits until a file, or the entries of a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
