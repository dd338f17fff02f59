"""Comparisons with PyTorch, which nothing else here imports: skipped as a whole where it is not installed."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
torch.set_num_threads(1)  # its tensors are small here: threads that wait for one another cost several times what they save
