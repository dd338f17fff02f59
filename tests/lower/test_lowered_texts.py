"""Text tests below the graph: each file of texts/ is a graph, its groups, their schedules, and the kernels and steps written by them.

    // target: x86-64-v2           the level, x86-64-v3 unless it is named
    // stages: fuse, schedule      which stages are shown, `fuse, schedule, memory` unless they are named
"""

from __future__ import annotations

import pytest

from ingot.backends import backend
from tests.support.texts import check_text, directive, files, lowered

FILES = files(__file__)


def shown(text: str) -> str:
    (name,) = directive(text, "target", "x86-64-v3")
    b = backend(name)
    return lowered(text, b.target(b.levels[name]), directive(text, "stages", "fuse, schedule, memory"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_lowered_text(path, bless):
    check_text(path, bless, shown)
