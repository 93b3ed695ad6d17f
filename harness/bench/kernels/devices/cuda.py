"""On an NVIDIA GPU: every operator at the shapes of training and of one long sequence."""

from dataclasses import dataclass

import torch
from lengthwise.harness.bench.kernels.cases import cast
from lengthwise.harness.bench.kernels.contenders import SDPA, Contender, backend, softmax_attention
from lengthwise.harness.bench.kernels.problems import (
    CHANNEL_DECAY,
    HEAD_DECAY,
    NO_DECAY,
    Problem,
    Shape,
)

DELTA, LINEAR = ("gated_delta_rule", HEAD_DECAY), ("gated_linear_attention", NO_DECAY)
SCAN, CONVOLUTION = ("selective_scan", ""), ("causal_conv1d", "")
HALF, SINGLE = torch.bfloat16, torch.float32
SHORT, MEDIUM, LONG = (256, 256, 2, 64), (64, 1024, 2, 64), (1, 65536, 4, 64)
SCANNED: tuple[Shape, ...] = ((64, 1024, 128, 16), (1, 65536, 128, 16))
ATTENDED: tuple[Shape, ...] = (
    SHORT, MEDIUM, (512, 64, 2, 32), (2048, 64, 1, 64), (256, 128, 2, 64)
)  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """One measurement: what is computed, by whom, and in which precision."""

    problem: Problem
    who: str = "triton"
    dtype: torch.dtype = HALF
    softmax: bool = False
    """Softmax attention on the problem's queries, keys and values, in place of its operator."""

    @property
    def name(self) -> str:
        """The operator, with its variant where it has several."""
        if self.softmax:
            return "softmax_attention"
        operator, variant = self.problem.operator, self.problem.variant
        return (
            operator if (operator, variant) in (DELTA, LINEAR) else f"{operator} {variant}".strip()
        )

    def contender(self) -> Contender:
        """With inputs on the GPU; gates, rates and filters stay in float32."""
        given = cast(self.problem.inputs(), self.dtype, SINGLE)
        inputs = {name: each.cuda() for name, each in given.items()}
        if self.softmax:
            return softmax_attention(inputs, self.who)
        return backend(self.problem, inputs, self.who)


TIMED = (
    *(Timed(Problem(*kind, shape)) for kind in (DELTA, LINEAR) for shape in (SHORT, MEDIUM, LONG)),
    *(Timed(Problem(*SCAN, shape), dtype=dtype) for shape in SCANNED for dtype in (HALF, SINGLE)),
    Timed(Problem(*CONVOLUTION, (64, 1024, 128, 4))),
    *(
        Timed(Problem(*LINEAR, shape), who, softmax=True)
        for shape in ATTENDED
        for who in (SDPA, "triton")
    ),
    Timed(Problem(*LINEAR, (8, 4096, 16, 128)), SDPA, softmax=True),
    *(
        Timed(Problem(*kind, shape), "chunked")
        for shape in (SHORT, MEDIUM)
        for kind in (DELTA, LINEAR)
    ),
    Timed(Problem(*DELTA, SHORT), dtype=SINGLE),
    *(Timed(Problem(LINEAR[0], decay, SHORT)) for decay in (HEAD_DECAY, CHANNEL_DECAY)),
    Timed(Problem(*DELTA, (64, 1024, 2, 128))),
)
"""In the order of the report, which compiles what it meets first."""
