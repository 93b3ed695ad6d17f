"""Shape and dtype checks at the border of every operator, and the dtypes it computes in."""

import torch

_AUTOCAST = tuple(
    each
    for each in ("cpu", "cuda", "hpu", "ipu", "maia", "mps", "mtia", "privateuseone", "xla", "xpu")
    if torch.amp.is_autocast_available(each)
)
"""Types of devices that have autocast; asked here, as torch 2.11 cannot compile the question."""


def check_shapes(operator: str, **tensors: tuple[torch.Tensor | None, str]) -> dict[str, int]:
    """Binds each named dimension and checks that every tensor agrees on its size.

    Args:
        operator: the name that opens the error message.
        tensors: name=(tensor or None, "B T H K"); a None is passed over.

    Returns:
        The size of each dimension.

    Raises:
        ValueError: a tensor has another number of dimensions, a size that contradicts another's, or
            a size of 0.

    >>> check_shapes("op", q=(torch.zeros(2, 3), "B T"), v=(torch.zeros(2, 3, 5), "B T V"))
    {'B': 2, 'T': 3, 'V': 5}
    """
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for name, (tensor, layout) in tensors.items():
        if tensor is None:
            continue
        dimensions = layout.split()
        if tensor.dim() != len(dimensions):
            raise ValueError(
                f"{operator}: {name} must be [{', '.join(dimensions)}], "
                f"not {tensor.dim()}-dimensional {list(tensor.shape)}"
            )
        for dimension, size in zip(dimensions, tensor.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                raise ValueError(
                    f"{operator}: {name} must be [{', '.join(dimensions)}] with "
                    f"{dimension} = {sizes[dimension]} as in {owner[dimension]}, "
                    f"not {list(tensor.shape)}"
                )
            owner.setdefault(dimension, name)
    for dimension, size in sizes.items():
        if size == 0:
            raise ValueError(
                f"{operator}: {dimension} is 0 in {owner[dimension]}; there must be some"
            )
    return sizes


def check_rows(operator: str, **rows: torch.Tensor | None) -> None:
    """Checks that all tensors have one shape [..., D]; a None is passed over.

    Raises:
        ValueError: a number instead of a row, or two shapes.

    >>> check_rows("op", x=torch.zeros(2, 3), gate=torch.zeros(2, 3))
    """
    given = {name: each.shape for name, each in rows.items() if each is not None}
    first, shape = next(iter(given.items()))
    if not shape:
        raise ValueError(f"{operator}: {first} must be [..., D], not a number")
    for name, other in given.items():
        if other != shape:
            raise ValueError(
                f"{operator}: {name} must be {list(shape)} as {first}, not {list(other)}"
            )


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """States and sums of half-precision inputs are kept in float32.

    >>> state_dtype(torch.bfloat16), state_dtype(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """What torch.autocast computes in on devices of this type; None where it is off.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     autocast_dtype("cpu")
    torch.bfloat16
    """
    if device_type not in _AUTOCAST:
        return None
    on = torch.is_autocast_enabled(device_type)
    return torch.get_autocast_dtype(device_type) if on else None


def ceil_div(size: int, part: int) -> int:
    """How many parts hold the size.

    >>> ceil_div(16, 8), ceil_div(17, 8)
    (2, 3)
    """
    return -(-size // part)
