"""Options and fixtures of all tests, and a cache of their own.

The long form of the tests of races, damage and parsers is one command, about half an hour on two cores::

    python -m pytest --long tests/cache tests/artifact tests/fuzz
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected output in text tests (tests/**/*.ir)")
    parser.addoption("--long", action="store_true", help="races, damage and fuzzing in full (see tests/conftest.py)")


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(prefix="ingot-tests-")
    os.environ["INGOT_CACHE_DIR"] = os.path.join(folder, "cache")  # also for the processes that tests start
    os.environ.pop("INGOT_CACHE_PATH", None)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether the run rewrites expectations instead of checking them."""
    return request.config.getoption("--bless")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether tests that have a short and a long form take the long one."""
    return request.config.getoption("--long")
