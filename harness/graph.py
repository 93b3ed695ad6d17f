"""A call on static tensors that a GPU replays without its host."""

from collections.abc import Callable

import torch
from torch import Tensor


class Captured:
    """A function of no arguments that reads and writes the same tensors at every call.

    On a GPU the first call runs it as it is, which compiles and initialises what it needs; the
    second records it as one CUDA graph, which that call and all later ones replay. The tensor
    that it returns is then the same at every call, with new values. What cannot be captured,
    because it waits for the GPU or decides by its values, goes on being run as it is.
    """

    def __init__(self, function: Callable[[], Tensor], device: torch.device) -> None:
        self.function = function
        self.device = device
        self.refusal: str | None = None
        """Why it could not be captured."""
        self._warm = False
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: Tensor | None = None

    def __call__(self) -> Tensor:
        if self._graph is None:
            if self.device.type != "cuda" or not self._warm or self.refusal:
                self._warm = True
                return self.function()
            self._capture()
            if self._graph is None:
                return self.function()
        self._graph.replay()
        assert self._output is not None
        return self._output

    @property
    def replays(self) -> bool:
        """Whether calls are replays of a graph by now."""
        return self._graph is not None

    def forget(self) -> None:
        """Records anew: the function reads other tensors from now on."""
        self._graph = self._output = None
        self._warm = False

    def _capture(self) -> None:
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # a graph has memory of its own
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._output = self.function()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.refusal = str(error).partition("\n")[0]
            return
        self._graph = graph
