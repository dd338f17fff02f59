"""What a compiled function reads of the environment, in a process that has compiled much."""

import os
import sys

import pytest

import ingot


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older versions have no such limit")
def test_the_environment_is_watched_after_many_traces(monkeypatch):
    """From the thousandth change of a class on, Python 3.13 calls methods that the class no longer has."""
    monkeypatch.setenv("INGOT_TEST_FACTOR", "2")
    x = ingot.ones(1)

    def f(x):
        return x * float(os.getenv("INGOT_TEST_FACTOR", "0"))

    for _ in range(600):
        ingot.compile(f)(x)
        os.getenv("HOME")
    for _ in range(300):
        os.getenv("HOME")
    g = ingot.compile(f)
    assert g(x).item() == 2
    monkeypatch.setenv("INGOT_TEST_FACTOR", "3")
    assert g(x).item() == 3 and isinstance(os.environ._data, dict)  # type: ignore[attr-defined]
