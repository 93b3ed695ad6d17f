"""The optimizer of stacked members: one AdamW step in place."""

import torch
from lengthwise.kernels.backends import compute, discover
from torch import Tensor

BACKENDS = discover(__name__)


@torch.no_grad()
def adamw_(
    parameters: Tensor,
    gradients: Tensor,
    first_moments: Tensor,
    second_moments: Tensor,
    *,
    decayed: Tensor,
    lr: Tensor,
    weight_decay: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    step: Tensor,
    clip: Tensor | None = None,
    eps: float = 1e-8,
    backend: str | None = None,
) -> None:
    """Takes one step of AdamW on P members, each with its own settings, in place.

        g ← g · min(1, clip / (‖g‖ + 1e-6))
        m ← m + (1 − β₁)(g − m)          v ← β₂ v + (1 − β₂) g²
        p ← p · (1 − lr · weight_decay · decayed)
        p ← p − lr · m / (1 − β₁ⁿ) / (√(v / (1 − β₂ⁿ)) + eps),   n = step + 1

    The gradients are left as they are. All settings are tensors on the parameters' device, so a
    CUDA graph of the call can be replayed with new ones; nothing waits for the device. Settings in
    float64 keep the digits of 1 − β.

    Args:
        parameters: [P, N]; so are gradients and moments, all of one dtype.
        gradients: of each member's loss.
        first_moments: m, zeros at the start.
        second_moments: v, zeros at the start.
        decayed: which parameters weight decay shrinks [N], bool or 0 and 1.
        lr: learning rates [P], the schedule's factor included.
        weight_decay: [P].
        beta1: [P].
        beta2: [P].
        step: the steps taken before this one, a scalar tensor.
        clip: the largest norm of each member's gradient [P], infinity for any; None for any, which
            saves the pass over the gradients.
        eps: added to √v.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Raises:
        ValueError: shapes or dtypes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).

    >>> p, m, v = torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1, 2)
    >>> names = ("lr", "weight_decay", "beta1", "beta2")
    >>> settings = {name: torch.tensor([x]) for name, x in zip(names, (0.1, 1.0, 0.9, 0.99))}
    >>> gradients, decayed = torch.tensor([[3.0, -3.0]]), torch.tensor([True, False])
    >>> adamw_(p, gradients, m, v, decayed=decayed, step=torch.tensor(0), **settings)
    >>> [round(each, 4) for each in p[0].tolist()]
    [0.8, 1.1]
    """
    stacked = {
        "gradients": gradients,
        "first_moments": first_moments,
        "second_moments": second_moments,
    }
    _check_stacked(parameters, stacked)
    members, size = parameters.shape
    settings = {"lr": lr, "weight_decay": weight_decay, "beta1": beta1, "beta2": beta2}
    expected = {
        **{name: (each, (members,)) for name, each in settings.items()},
        "clip": (clip, (members,)),
        "decayed": (decayed, (size,)),
        "step": (step, ()),
    }
    for name, (each, shape) in expected.items():
        if each is not None and each.shape != shape:
            raise ValueError(f"adamw_: {name} must be {list(shape)}, not {list(each.shape)}")
    compute(
        "adamw_", BACKENDS, backend,
        parameters, gradients, first_moments, second_moments,
        decayed, lr, weight_decay, beta1, beta2, step, clip, eps,
    )  # fmt: skip


def _check_stacked(parameters: Tensor, others: dict[str, Tensor]) -> None:
    if parameters.dim() != 2:
        raise ValueError(f"adamw_: parameters must be [P, N], not {list(parameters.shape)}")
    for name, each in others.items():
        if each.shape != parameters.shape or each.dtype != parameters.dtype:
            raise ValueError(
                f"adamw_: {name} must be {list(parameters.shape)} in {parameters.dtype} as "
                f"parameters, not {list(each.shape)} in {each.dtype}"
            )
