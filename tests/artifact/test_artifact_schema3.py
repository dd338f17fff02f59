"""The artifact of schema 3 that is kept for ever: see data/README.md. It is never made again."""

import hashlib
import os

import numpy as np
import pytest

from ingot.runtime.artifact import host, load
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.model import validate
from ingot.runtime.cli import main

PATH = os.path.join(os.path.dirname(__file__), "data", "schema3.ingot")
runs_here = pytest.mark.skipif(host.architecture() != "x86_64", reason="it holds code for x86-64")


def test_it_is_the_one():
    with open(PATH, "rb") as f:
        data = f.read()
    assert hashlib.sha256(data).hexdigest() == "9c3063465a8b6e3b33f011c703c2c67f0a1c5ceac50d8fbebc859775c9e9f6e5", "made again, or damaged"


def test_it_is_read_everywhere(capsys):
    with Container(PATH) as c:
        m = validate(c)
        assert c.schema == 3 and m.targets[0].level == "x86-64-v2"
        assert m.targets[0].prepared == {"hidden.weight": ("f32", (32, 48)), "out.weight": ("f32", (16, 32))}
    assert main(["inspect", PATH]) == 0 and main(["verify", PATH]) == 0
    assert "2 weights ready for it, 8.1 KiB: hidden.weight, out.weight" in capsys.readouterr().out


@runs_here
def test_it_is_verified_and_run():
    m = load(PATH)
    assert main(["verify", "--run", PATH]) == 0
    hidden, bias, out = (f(np.arange(n)) for f, n in (
        (lambda i: i % 13 / 16 - 0.375, 32 * 48), (lambda i: i / 32, 32), (lambda i: i % 7 / 8 - 0.375, 16 * 32),
    ))  # fmt: skip
    hidden, out = hidden.reshape(32, 48), out.reshape(16, 32)
    x = np.linspace(-1, 1, 24 * 48, dtype=np.float32).reshape(24, 48)
    np.testing.assert_allclose(m(x), np.maximum(x @ hidden.T + bias, 0) @ out.T, rtol=1e-4, atol=1e-4)
    for name, want in (("hidden.weight", hidden), ("hidden.bias", bias), ("out.weight", out)):
        np.testing.assert_array_equal(m.weights[name], want)
