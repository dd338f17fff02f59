"""Text tests: each file of texts/ is a graph, the schedules that are chosen for a GPU, and the kernels and launches written by them."""

from __future__ import annotations

import pytest

from tests.support.cuda import CUDA
from tests.support.texts import check_text, files, lowered

FILES = files(__file__)
SM_90 = CUDA.target(CUDA.levels["sm_90a"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_lowered_text(path, bless):
    check_text(path, bless, lambda text: lowered(text, SM_90, ("schedule", "memory")))
