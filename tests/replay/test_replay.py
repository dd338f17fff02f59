"""The short form of replay: some groups of the corpus, each at one level. The whole is `python -m tests.replay`."""

from __future__ import annotations

import pytest

from tests.replay import digests
from tests.replay.corpus import groups

GROUPS = groups()
SHORT = [name for k, name in enumerate(GROUPS) if k % 5 == 0 or name in ("op/dot", "op/conv", "model/gpt", "size/mlp", "fuzz/3")]


@pytest.mark.parametrize("k, name", list(enumerate(SHORT)), ids=SHORT)
def test_machine_code_is_what_it_was(k: int, name: str) -> None:
    toolchain, was = digests.parse(digests.FILE.read_text())
    if toolchain != digests.versions():
        pytest.skip(f"the digests were made with {toolchain}")
    row = digests.measure(GROUPS[name](), [digests.LEVELS[k % len(digests.LEVELS)]])
    assert digests.compare(was, {name: row}) == [], "if that is meant: python -m tests.replay --bless, and say why in the commit"


def test_every_group_has_digests() -> None:
    assert list(digests.parse(digests.FILE.read_text())[1]) == list(GROUPS)
