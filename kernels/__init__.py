"""How it is computed: one folder an operator, one file a backend (see `backends`)."""

from lengthwise.kernels.backends import BackendUnavailableError, session
from lengthwise.kernels.causal_conv1d import causal_conv1d
from lengthwise.kernels.gated_delta_rule import gated_delta_rule
from lengthwise.kernels.gated_linear_attention import gated_linear_attention
from lengthwise.kernels.selective_scan import selective_scan

__all__ = [
    "BackendUnavailableError",
    "causal_conv1d",
    "gated_delta_rule",
    "gated_linear_attention",
    "selective_scan",
    "session",
]
