"""Options and fixtures of all tests, and a cache of their own."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected output in text tests (tests/**/*.ir)")


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(prefix="ingot-tests-")
    os.environ["INGOT_CACHE_DIR"] = os.path.join(folder, "cache")  # also for the processes that tests start
    os.environ.pop("INGOT_CACHE_PATH", None)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether the run rewrites expectations instead of checking them."""
    return request.config.getoption("--bless")
