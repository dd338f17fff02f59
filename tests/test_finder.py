"""The finder of Ingot's modules: what it finds is what Python would, and it finds nothing where it cannot be sure."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from importlib.machinery import PathFinder

import pytest

from ingot._finder import Finder

pytestmark = pytest.mark.skipif(sys.pycache_prefix is not None, reason="byte code is kept elsewhere")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a module and a package, with byte code."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "found"
    (folder / "below").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text("def f():\n    return 1\n")
    (folder / "below" / "__init__.py").write_text("x = 2\n")
    (folder / "below" / "deep.py").write_text("from found.below import x\n" + "pad = 1\n" * 20_000)  # read in several parts
    for name in ("one", "below/__init__", "below/deep"):
        importlib.util.spec_from_file_location("m", folder / f"{name}.py").loader.get_code("m")
    monkeypatch.setattr(sys, "meta_path", [Finder("found"), *sys.meta_path])
    above = importlib.util.spec_from_file_location("found", folder / "__init__.py", submodule_search_locations=[str(folder)])
    sys.modules["found"] = importlib.util.module_from_spec(above)
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "found"]:
        del sys.modules[name]


def _spec(folder, name="found.one"):
    return Finder("found").find_spec(name, [str(folder)])


@pytest.mark.parametrize("name", ["one", "below"])
def test_a_module_is_found_as_python_finds_it(package, name):
    ours, theirs = _spec(package, f"found.{name}"), PathFinder.find_spec(f"found.{name}", [str(package)])
    for attribute in ("name", "origin", "cached", "has_location", "parent", "submodule_search_locations"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.loader.get_code(ours.name) == theirs.loader.get_code(theirs.name)
    assert ours.loader.get_source(ours.name) == theirs.loader.get_source(theirs.name)


def test_what_it_finds_is_imported(package):
    deep = importlib.import_module("found.below.deep")
    one = importlib.import_module("found.one")
    assert (deep.x, deep.pad, one.f()) == (2, 1, 1)
    assert inspect.getsource(one.f) == "def f():\n    return 1\n"
    assert type(one.__loader__).__module__ == type(deep.__loader__).__module__ == "ingot._finder"


def test_a_source_that_was_changed_is_imported_anew(package):
    one = importlib.import_module("found.one")
    (package / "one.py").write_text("def f():\n    return 'other'\n")
    assert _spec(package) is None
    assert importlib.reload(one).f() == "other"
    assert _spec(package) is not None  # Python has written its byte code
    assert importlib.reload(one).f() == "other"


def test_a_source_of_another_time_is_not_taken(package):
    now = os.stat(package / "one.py")
    os.utime(package / "one.py", (now.st_atime, now.st_mtime + 1))
    assert _spec(package) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 16, None], ids=["empty", "zeros", "missing"])
def test_byte_code_that_is_damaged_or_missing_is_not_taken(package, data):
    path = importlib.util.cache_from_source(str(package / "one.py"))
    os.unlink(path) if data is None else open(path, "wb").write(data)
    assert _spec(package) is None
    assert importlib.import_module("found.one").f() == 1


def test_byte_code_that_is_checked_by_hash_is_left_to_python(package):
    import py_compile

    py_compile.compile(str(package / "one.py"), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert _spec(package) is None


def test_what_is_not_there_or_not_of_the_package_is_left_to_others(package):
    assert _spec(package, "found.nothing") is None
    assert _spec(package, "other.one") is None
    assert Finder("found").find_spec("found.one") is None
    with pytest.raises(ModuleNotFoundError, match=r"found\.nothing"):
        importlib.import_module("found.nothing")


@pytest.mark.parametrize("options", [[], ["-O"], ["-OO"], ["-B"]], ids=lambda o: " ".join(o) or "plain")
def test_ingot_is_imported_by_it_once_there_is_byte_code(options):
    code = "import ingot, ingot.ir.size; s = ingot.ir.size.__spec__; print(type(s.loader).__module__, s.cached, __debug__)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        run = subprocess.run([sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True, check=True)
    finder, cached, debug = run.stdout.split()
    assert debug == str(not any("O" in o for o in options))
    assert finder == "ingot._finder" or options == ["-B"]
    assert (".opt-" in cached) == any("O" in o for o in options)
