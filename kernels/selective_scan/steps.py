"""Step sizes before the scan, where a backend takes them as they are."""

import torch.nn.functional as F
from torch import Tensor


def step_sizes(delta: Tensor, delta_bias: Tensor | None) -> Tensor:
    """softplus(delta + delta_bias), or delta itself where there is no bias."""
    return delta if delta_bias is None else F.softplus(delta + delta_bias)
