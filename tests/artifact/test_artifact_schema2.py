"""The artifact of schema 2 that is kept for ever: see data/README.md. It is never made again."""

import hashlib
import os

import numpy as np
import pytest

from ingot.runtime.artifact import host, load
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.model import validate
from ingot.runtime.cli import main

PATH = os.path.join(os.path.dirname(__file__), "data", "schema2.ingot")
LEVELS = {"x86_64": "x86-64-v2", "aarch64": "aarch64"}
runs_here = pytest.mark.skipif(host.architecture() not in LEVELS, reason="it holds code for x86-64 and AArch64")


def test_it_is_the_one():
    with open(PATH, "rb") as f:
        data = f.read()
    assert hashlib.sha256(data).hexdigest() == "ec6ffbd4b172d3704dfe372ac9e1af9906bfe7ac49d24cd4044bd1bd7b945050", "made again, or damaged"


def test_it_is_read_everywhere(capsys):
    with Container(PATH) as c:
        m = validate(c)
        assert c.schema == 2 and [t.level for t in m.targets] == ["x86-64-v2", "aarch64"]
    assert m.signature == "(x: float32[B, T]) -> (y: float32[B, T], sums: float32[2*B, 1]) where 1 <= B <= 64, 1 <= T <= 512"
    assert main(["inspect", PATH]) == 0 and main(["verify", PATH]) == 0
    assert "size    1 <= T <= 512" in capsys.readouterr().out


@runs_here
def test_it_is_verified_and_run():
    m = load(PATH)
    assert m.level == LEVELS[host.architecture()] and main(["verify", "--run", PATH]) == 0
    for b, t in [(1, 1), (64, 512), (7, 13)]:
        x = np.linspace(-2, 2, b * t, dtype=np.float32).reshape(b, t)
        y, sums = m(x)
        np.testing.assert_allclose(y, np.exp(x) / 2, rtol=1e-5)
        np.testing.assert_allclose(sums, np.concatenate([x.sum(1), y.sum(1)])[:, None], rtol=1e-4, atol=1e-4)
    with pytest.raises(RuntimeError, match="rows: input x: dim 1, T, must be at least 1 and at most 512, got 513"):
        m(np.zeros((1, 513), np.float32))
