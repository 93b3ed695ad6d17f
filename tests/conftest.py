"""Settings of every test: one thread, since tests run side by side; Hypothesis has no deadline."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("lengthwise", deadline=None, max_examples=15, derandomize=True)
settings.load_profile("lengthwise")
