"""How it is computed: one folder an operator, one file a backend (see `backends`)."""

import pkgutil

from lengthwise.kernels.adamw import adamw_
from lengthwise.kernels.backends import BackendUnavailableError, Session, discover, session
from lengthwise.kernels.causal_conv1d import causal_conv1d
from lengthwise.kernels.embedding import embedding
from lengthwise.kernels.gated_delta_rule import gated_delta_rule
from lengthwise.kernels.gated_linear_attention import gated_linear_attention
from lengthwise.kernels.l2_norm import l2_norm
from lengthwise.kernels.linear import linear, linear_parts
from lengthwise.kernels.linear_attention import linear_attention
from lengthwise.kernels.linear_cross_entropy import linear_cross_entropy
from lengthwise.kernels.qkv_heads import qkv_heads
from lengthwise.kernels.rms_norm import rms_norm
from lengthwise.kernels.selective_scan import selective_scan
from lengthwise.kernels.softmax_attention import softmax_attention
from lengthwise.kernels.swiglu import swiglu
from lengthwise.kernels.swiglu_linear import swiglu_linear

__all__ = [
    "BackendUnavailableError",
    "Session",
    "adamw_",
    "causal_conv1d",
    "embedding",
    "gated_delta_rule",
    "gated_linear_attention",
    "l2_norm",
    "linear",
    "linear_attention",
    "linear_cross_entropy",
    "linear_parts",
    "operators",
    "qkv_heads",
    "rms_norm",
    "selective_scan",
    "session",
    "softmax_attention",
    "swiglu",
    "swiglu_linear",
]


def operators() -> dict[str, list[str]]:
    """Every operator with backends of its own, and their names, the most preferred first."""
    packages = [info.name for info in pkgutil.iter_modules(__path__) if info.ispkg]
    return {name: list(discover(f"{__name__}.{name}")) for name in packages}
