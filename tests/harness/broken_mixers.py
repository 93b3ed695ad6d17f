"""Mixers that break in every way a mixer can."""

import os
import signal

import torch
from lengthwise.architectures.layers import Linear
from lengthwise.architectures.mixer import Mixer, State
from torch import Tensor


class Identity(Mixer):
    """y = W x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = Linear(width, width)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return self.project(x), () if state is None else state

    def state_bytes(self, length: int) -> int:  # noqa: ARG002
        return 0


class Raises(Identity):
    """Raises an exception."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        raise RuntimeError(f"a mixer's own mistake with {x.shape} and {state}")


class RaisesWhenLong(Identity):
    """Raises an exception on sequences longer than 16."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if x.shape[1] > 16:
            raise RuntimeError("too long for me")
        return super().forward(x, state)


class RunsOutOfMemory(Identity):
    """Asks for more memory than there is."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        torch.empty(2**60, dtype=torch.uint8)
        return super().forward(x, state)


class Explodes(Identity):
    """Overflows."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        output, state = super().forward(x, state)
        return (output * 1e30) * 1e30, state


class Dies(Identity):
    """Ends its process as the system's memory killer would."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x, state)
