"""How our kernels become torch custom operators: fake, vmap and derivative rules in one place.

An operator so registered works in eager mode, under torch.compile, inside a CUDA graph and under
torch.func.vmap with autograd outside it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lengthwise.kernels.members import join, part
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import forward_ad

OPERATORS = torch.library.Library("lengthwise", "FRAGMENT")


def _inside_derivative() -> bool:
    """Inside grad torch's rules for custom operators fail, and they give forward mode zeros."""
    if torch.compiler.is_compiling():
        return False
    kinds = {each.key() for each in get_interpreter_stack() or ()}
    by_transform = kinds & {TransformType.Grad, TransformType.Jvp}
    return bool(by_transform) or forward_ad._current_level >= 0


def refusal(device: str, tensors: Iterable[Tensor | None]) -> str | None:
    """Why kernels of a device cannot take these tensors, or None when they can."""
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != device:
            return f"it computes on {device}, not on {tensor.device.type}"
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return f"it computes in float32, not in {str(tensor.dtype).removeprefix('torch.')}"
    if _inside_derivative():
        return "it works neither inside torch.func.grad nor in forward-mode differentiation"
    return None


def contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors as the kernels read them: row-major and without gaps."""
    return [None if each is None else each.contiguous() for each in tensors]


def _vmap_rule(name: str) -> Callable[..., Any]:
    """The vmap rule of an operator whose tensors' first dimension may hold members.

    A mapped dimension joins it, and leaves it again in every output.
    """
    operator = getattr(torch.ops.lengthwise, name)

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        members = info.batch_size
        outputs = operator(
            *(
                join(each, dim, members) if isinstance(each, Tensor) else each
                for each, dim in zip(args, in_dims, strict=True)
            )
        )
        if isinstance(outputs, Tensor):
            return part(outputs, members), 0
        apart = tuple(part(each, members) for each in outputs)
        return apart, (0,) * len(apart)

    return rule


def present(inputs: Iterable[Tensor | None], gradients: Iterable[Tensor]) -> list[Tensor | None]:
    """The gradients of those inputs that were given; an operator makes room for all of them."""
    pairs = zip(inputs, gradients, strict=True)
    return [None if each is None else gradient for each, gradient in pairs]


def register(
    name: str,
    forward: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    devices: tuple[str, ...] = ("CPU",),
    remember: Callable[..., None] | None = None,
    differentiate: Callable[..., Any] | None = None,
) -> None:
    """Gives the operator lengthwise::name, already defined, its rules.

    Those are its device, fake and vmap rules, and its derivative, with what that must remember.
    An operator without one gets a rule that says so: torch would take zeros for it.
    """

    def refuse(*_: Any) -> None:
        raise NotImplementedError(
            f"{name} has no derivative of its own; use backend='reference' for second derivatives"
        )

    for device in devices:
        OPERATORS.impl(name, forward, device)
    torch.library.register_fake(f"lengthwise::{name}", fake, lib=OPERATORS)
    torch.library.register_vmap(f"lengthwise::{name}", _vmap_rule(name), lib=OPERATORS)
    torch.library.register_autograd(
        f"lengthwise::{name}", differentiate or refuse, setup_context=remember, lib=OPERATORS
    )
