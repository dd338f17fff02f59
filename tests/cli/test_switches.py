"""The table of switches: parsing, errors, and its page in docs/."""

import os

import pytest

from ingot.runtime import switches
from tests.support.processes import ROOT


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("INGOT_LOG", "cache, recompiles", {"cache", "recompiles"}),
        ("INGOT_LOG", "all", set(switches.LOG_CHANNELS)),
        ("INGOT_LOG", "", set()),
        ("INGOT_TIME", "1", True),
        ("INGOT_TIME", "off", False),
        ("INGOT_NUM_THREADS", "3", 3),
        ("INGOT_CACHE_PATH", f"/a{os.pathsep}{os.pathsep}/b", ("/a", "/b")),
        ("INGOT_CACHE_MAX_BYTES", "1.5 GiB", 3 * 2**29),
        ("INGOT_CACHE_DIR", "", None),
        ("INGOT_BACKEND", "interpreter", "interpreter"),
    ],
)
def test_values(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert switches.get(name) == value
    assert switches.get(name) == value


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("INGOT_LOG", "cahce", "INGOT_LOG: expected a comma-separated list of cache,.* not 'cahce'"),
        ("INGOT_TIME", "maybe", "INGOT_TIME: expected 1 or 0, not 'maybe'"),
        ("INGOT_NUM_THREADS", "0", "an integer of at least 1, not '0'"),
        ("INGOT_NUM_THREADS", "two", "an integer of at least 1, not 'two'"),
        ("INGOT_BACKEND", "gpu", "one of cpu, interpreter, not 'gpu'"),
        ("INGOT_CACHE_MAX_BYTES", "many", "a size such as 500, 64MiB or 1.5GB, not 'many'"),
        ("INGOT_CACHE_MAX_BYTES", "1e999", "a size such as"),
        ("INGOT_CACHE_MAX_BYTES", "-1", "a size of at least 0"),
    ],
)
def test_errors(monkeypatch, name, text, message):
    monkeypatch.setenv(name, text)
    with pytest.raises(switches.SwitchError, match=message):
        switches.get(name)


def test_unknown_switch():
    with pytest.raises(KeyError):
        switches.get("INGOT_NONE")


def test_the_page_is_generated_from_the_table():
    with open(os.path.join(ROOT, "docs", "switches.md"), encoding="utf-8") as f:
        assert f.read() == switches.markdown(), "run: python -m ingot.runtime.switches > docs/switches.md"


def test_every_switch_in_the_sources_is_in_the_table():
    import re

    known = {s.name for s in switches.SWITCHES}
    for room in ("frontend", "ir", "backends", "runtime"):
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in names:
                if name.endswith(".py"):
                    with open(os.path.join(folder, name), encoding="utf-8") as f:
                        found = set(re.findall(r"\bINGOT_[A-Z_]+[A-Z]\b", f.read())) - known
                    assert not found, f"{room}/{name} reads {', '.join(sorted(found))}, which runtime/switches.py does not list"
