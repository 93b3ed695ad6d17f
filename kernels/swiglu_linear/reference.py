"""The gated product and the projection one after the other: any device and dtype."""

from lengthwise.kernels.linear import linear
from lengthwise.kernels.swiglu import swiglu
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
    return linear(swiglu(gate, up), weight)
