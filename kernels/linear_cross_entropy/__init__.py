"""The cross-entropy of a linear head, from the hidden vectors to the losses in one operator."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def linear_cross_entropy(
    x: Tensor, weight: Tensor, answers: Tensor, *, backend: str | None = None
) -> Tensor:
    """Each row's loss −log softmax(weight · x)[answer], in nats.

    Differentiable in x and weight; their gradients have their dtypes. The products are taken in
    x's dtype, or in autocast's as a linear layer's are; the losses in float32 or wider.

    Args:
        x: hidden vectors [..., D].
        weight: of the head [V, D].
        answers: [...] int64, each in [0, V). Others raise an error on a CPU; the loss is NaN on a
            GPU, where nobody waits for an answer.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        Losses [...] in float32; in float64 where x is. One that is not finite stays so.

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> losses = linear_cross_entropy(torch.ones(2, 3), torch.zeros(4, 3), torch.tensor([0, 3]))
    >>> losses.exp().tolist()
    [4.0, 4.0]
    """
    rows = x.reshape(-1, x.shape[-1])
    of_rows = answers.reshape(-1)
    check_shapes(
        "linear_cross_entropy",
        x=(rows, "N D"),
        weight=(weight, "V D"),
        answers=(of_rows, "N"),
    )
    losses = compute("linear_cross_entropy", BACKENDS, backend, rows, weight, of_rows)
    return losses.view(answers.shape)
