"""Options and fixtures of all tests, and a cache of their own.

The long form of the tests of races, damage and parsers is one command, about half an hour on two cores::

    python -m pytest --long tests/cache tests/artifact tests/fuzz
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected output in text tests (tests/**/*.ir)")
    parser.addoption("--long", action="store_true", help="races, damage and fuzzing in full (see tests/conftest.py)")


def _room() -> str:
    """A new folder in memory, if code can be run from there (thousands of entries are put and synced in a run), else in TMPDIR."""
    memory = None
    with contextlib.suppress(OSError):
        found = os.statvfs("/dev/shm")
        if os.access("/dev/shm", os.W_OK) and not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > 2 << 30:
            memory = "/dev/shm"
    for old in Path(memory or tempfile.gettempdir()).glob("ingot-tests-*-*"):  # of runs that were killed
        with contextlib.suppress(OSError):  # their process may be another's by now
            if not os.path.exists(f"/proc/{old.name.split('-')[2]}") or time.time() - old.stat().st_mtime > 86400:
                shutil.rmtree(old, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"ingot-tests-{os.getpid()}-", dir=memory)


def pytest_configure(config: pytest.Config) -> None:
    folder = _room()
    os.environ["INGOT_CACHE_DIR"] = os.path.join(folder, "cache")  # also for the processes that tests start
    os.environ.pop("INGOT_CACHE_PATH", None)
    os.environ["INGOT_CACHE_PACKAGED"] = "0"  # what tests run is made of the present sources, and tells what it compiled
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """No test leaves a setting behind that changes what others see."""
    yield
    if "ingot" in sys.modules:
        import ingot
        from ingot._tensor import devices

        left = (ingot.get_default_dtype().name, devices.chosen(), ingot.is_grad_enabled())
        assert left == ("f32", None, True), f"left behind: default dtype, default device, gradients = {left}"


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether the run rewrites expectations instead of checking them."""
    return request.config.getoption("--bless")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether tests that have a short and a long form take the long one."""
    return request.config.getoption("--long")
