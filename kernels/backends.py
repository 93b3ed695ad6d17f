"""Which backend computes an operator: how backends are found, chosen, overridden and recorded.

A backend is one module in its operator's folder, e.g. `kernels/gated_delta_rule/chunked.py`.
It defines

- `PREFERENCE`: an integer; of the backends that accept a call, the highest is taken;
- `refusal(*args) -> str | None`: why it cannot compute this call, or None when it can;
- `compute(*args)`: the operator itself. A recurrence returns (output, final_state), a row-wise
  operator its output alone, an update in place nothing.

`args` are the operator's own arguments in order, checked and with defaults filled in.
"""

import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any

ENVIRONMENT_VARIABLE = "LENGTHWISE_BACKEND"


class BackendUnavailableError(ValueError):
    """The backend asked for does not exist or cannot compute the call; the message says why."""


@dataclass(frozen=True)
class Backend:
    """One way to compute an operator."""

    name: str
    preference: int
    refusal: Callable[..., str | None]
    compute: Callable[..., Any]


@dataclass
class Session:
    """What `session` yields: the default backend inside it, and what each operator used."""

    backend: str | None
    chosen: dict[str, set[str]] = field(default_factory=dict)


_sessions: list[Session] = []
_preferences: dict[str, int] = {}
"""Of every backend name that an operator has."""


@contextmanager
def session(backend: str | None = None) -> Iterator[Session]:
    """Sets the default backend inside the block and records every operator's choice.

    A `backend=` argument of an operator goes before it; the environment variable
    LENGTHWISE_BACKEND comes after it. An operator without a backend of the default's name takes
    its best of no higher preference: `chunked` means `reference` where there are only `reference`
    and `triton`, and `sdpa` for softmax attention.
    """
    entered = Session(backend)
    _sessions.append(entered)
    try:
        yield entered
    finally:
        _sessions.remove(entered)


def discover(package: str) -> dict[str, Backend]:
    """Finds the backends of the operator whose package is given, the most preferred first."""
    path = import_module(package).__path__
    modules = [import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(path)]
    found = [
        Backend(
            module.__name__.rpartition(".")[2], module.PREFERENCE, module.refusal, module.compute
        )
        for module in modules
        if hasattr(module, "PREFERENCE")
    ]
    _preferences.update({backend.name: backend.preference for backend in found})
    return {backend.name: backend for backend in sorted(found, key=lambda each: -each.preference)}


def compute(operator: str, backends: dict[str, Backend], requested: str | None, *args: Any) -> Any:
    """Computes the operator on the backend requested, or else on the best that accepts the call.

    Raises:
        BackendUnavailableError: the backend requested is unknown, or refuses the call.
    """
    default = next((entered.backend for entered in reversed(_sessions) if entered.backend), None)
    default = default or os.environ.get(ENVIRONMENT_VARIABLE)
    if requested is None and default in _preferences and default not in backends:
        limit = _preferences[default]
        backends = {name: each for name, each in backends.items() if each.preference <= limit}
        default = None
    named = requested or default
    backend = _named(operator, backends, named, args) if named else _best(operator, backends, args)
    for entered in _sessions:
        entered.chosen.setdefault(operator, set()).add(backend.name)
    return backend.compute(*args)


def _named(
    operator: str, backends: dict[str, Backend], name: str, args: tuple[Any, ...]
) -> Backend:
    if name not in backends:
        near = get_close_matches(name, backends, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise BackendUnavailableError(
            f"{operator} has no backend {name!r}{hint}; it has {', '.join(backends)}"
        )
    if reason := backends[name].refusal(*args):
        raise BackendUnavailableError(f"{operator} cannot use backend {name!r}: {reason}")
    return backends[name]


def _best(operator: str, backends: dict[str, Backend], args: tuple[Any, ...]) -> Backend:
    reasons: list[str] = []
    for backend in backends.values():
        reason = backend.refusal(*args)
        if reason is None:
            return backend
        reasons.append(f"{backend.name}: {reason}")
    raise BackendUnavailableError(f"no backend computes this {operator}: {'; '.join(reasons)}")
