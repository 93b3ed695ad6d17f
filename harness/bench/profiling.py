"""What a GPU ran, as torch's profiler saw it."""

import torch
from lengthwise.harness.bench.kernels.timing import Call
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import DeviceType, ProfilerActivity, profile


def device_events(run: Call) -> list[FunctionEvent]:
    """The kernels and copies of a call, which is waited for."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    return [each for each in profiler.events() or () if each.device_type == DeviceType.CUDA]
