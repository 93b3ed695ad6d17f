"""Where trials are kept: an SQLite file, a database for many machines, or a journal file."""

import json
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from lengthwise.harness.source import InputError
from lengthwise.harness.tune.samplers import pruner, sampler
from lengthwise.harness.tune.study import Contender, Study
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

DEFINITION = "definition"
"""The attribute of an Optuna study that says what its trials' values mean."""
StorageErrors = (StorageInternalError, SQLAlchemyError, OSError)
SQLITE_SECONDS = 60
"""How long a process waits for another one's write to an SQLite file."""

OPENINGS = 6


def sqlite(folder: Path) -> str:
    """The URL of the file that holds a study's trials unless another storage is given."""
    return f"sqlite:///{folder.resolve() / 'study.db'}"


@contextmanager
def opened(where: str) -> Iterator[BaseStorage]:
    """A storage by its database URL, or by the path of its journal file.

    Raises:
        InputError: it cannot be reached, read or written.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        storage = _opened_by_many(where)
    except ImportError as error:
        raise InputError(
            f"{_named(where)}: needs a driver that is not installed: {error}"
        ) from None
    except (*StorageErrors, RuntimeError, ValueError) as error:
        raise InputError(f"{_named(where)}: cannot be used: {reason(error)}") from None
    try:
        yield storage
    finally:
        if engine := getattr(storage, "engine", None):
            engine.dispose()


def create_or_load(study: Study, contender: Contender, storage: BaseStorage) -> optuna.Study:
    """The Optuna study of an architecture, made with its default setting as the first trial.

    Raises:
        InputError: the storage has one of this name that was made otherwise, or is read-only.
    """
    name = study_name(study, contender)
    definition = study.definition(contender)
    try:
        try:
            found = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=[each.direction for each in study.objectives],
            )
        except DuplicatedStudyError:
            found = load(study, contender, storage)
        held = found.user_attrs.get(DEFINITION)
        if held is not None and held != definition:
            raise InputError(_difference(name, held, definition))
        # Written also when it is there: a storage that cannot be written is told before any work.
        found.set_user_attr(DEFINITION, definition)
        if contender.default_is_inside and study.settings.sampler != "grid" and not found.trials:
            found.enqueue_trial(contender.default)
    except StorageErrors as error:
        raise InputError(f"the study {name}: cannot be written: {reason(error)}") from None
    return found


def load(study: Study, contender: Contender, storage: BaseStorage) -> optuna.Study:
    """The Optuna study of an architecture, which is there."""
    return optuna.load_study(
        study_name=study_name(study, contender),
        storage=storage,
        sampler=sampler(study, contender),
        pruner=pruner(study),
    )


def study_name(study: Study, contender: Contender) -> str:
    """As optuna-dashboard lists it."""
    return f"{study.name}/{contender.label}"


def reason(error: BaseException) -> str:
    """The innermost cause of a database's error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    inner = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return lines[0] if lines else type(inner).__name__


def _opened_by_many(where: str) -> BaseStorage:
    """Several who open a new database at once all make its tables: who comes second looks again."""
    for _ in range(OPENINGS - 1):
        try:
            return _opened(where)
        except (IntegrityError, ProgrammingError):
            time.sleep(random.uniform(0.2, 1.0))
    return _opened(where)


def _opened(where: str) -> BaseStorage:
    if "://" not in where:
        Path(where).resolve().parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(where))
    url = where.replace("postgresql://", "postgresql+psycopg://", 1)
    arguments = {"timeout": SQLITE_SECONDS} if url.startswith("sqlite") else {}
    return RDBStorage(url, engine_kwargs={"connect_args": arguments})


def _named(where: str) -> str:
    """The storage as a message may show it: without its password."""
    try:
        shown = make_url(where).render_as_string(hide_password=True)
    except ArgumentError:
        shown = where
    return f"--storage {shown}"


def _difference(name: str, held: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What differs between two definitions, one line each."""
    lines = [
        f"the study {name} was made with another {path}: {_shown(old)} there, {_shown(new)} here"
        for path, old, new in _changes(held, wanted, ())
    ]
    return "\n".join([*lines, "take that back, or give the study another name or folder"])


def _changes(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    # A parameter is told whole.
    if (
        isinstance(old, dict)
        and isinstance(new, dict)
        and not (path[:1] == ("space",) and path[1:])
    ):
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield " ".join(path), old, new


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
