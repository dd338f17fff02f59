"""Comparisons with PyTorch, which nothing else here imports: skipped as a whole where it is not installed."""

import pytest

pytest.importorskip("torch", reason="torch is not installed")
