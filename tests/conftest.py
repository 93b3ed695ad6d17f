"""Settings of every test: a fixed number of threads, and Hypothesis without a deadline."""

import torch
from hypothesis import settings

torch.set_num_threads(2)
settings.register_profile("lengthwise", deadline=None, max_examples=15, derandomize=True)
settings.load_profile("lengthwise")
