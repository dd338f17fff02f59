"""What a hit, a miss and a put ask of the system, counted in a trace: the numbers that docs/cache.md states.

`pytest -s` prints the table. Of a buffered file's calls only those are counted that every Python makes alike.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.support import prebuilt
from tests.support.processes import with_tests
from tests.support.traced import MARKER

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")

CALL = re.compile(r"(?P<pid>\d+)\s+(?P<name>\w+)\((?P<args>.*)\)\s+=\s+(?P<result>-?\d+|\?|0x[0-9a-f]+)(?P<rest>.*)$")
KINDS = {
    "open": "opens", "openat": "opens", "read": "reads", "pread64": "reads", "write": "writes", "pwrite64": "writes", "fsync": "fsyncs",
    "rename": "renames", "mmap": "maps", "stat": "stats", "lstat": "stats", "fstat": "stats", "newfstatat": "stats", "statx": "stats",
    "mkdir": "mkdirs", "mkdirat": "mkdirs", "unlink": "unlinks", "getdents64": "listings",
}  # fmt: skip
COLUMNS = ("opens", "stats", "reads", "bytes read", "maps", "writes", "bytes written", "fsyncs", "renames", "mkdirs", "unlinks", "listings")


def strace(command, out, cwd, env, *options):
    command = ["strace", "-f", "-qq", "-s", "0", *options, "-o", str(out), *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert done.returncode == 0, done.stderr
    return out.read_text().splitlines()


@pytest.fixture(scope="module")
def phases(tmp_path_factory):
    """Phase -> what it asked of the cache's folders (and of the entry through /proc), by kind."""
    top = tmp_path_factory.mktemp("traced")
    os.makedirs(top / "prebuilt")
    prebuilt.save(str(top / "prebuilt"))
    folder = str(top / "cache")
    env = with_tests(INGOT_CACHE_DIR=folder, INGOT_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    env.pop("INGOT_CACHE_PATH", None)
    command = [sys.executable, "-m", "tests.support.traced", folder, str(top / "prebuilt")]
    out: dict[str, Counter] = {}
    now = None
    for line in strace(command, top / "trace", top, env, "-y"):
        call = CALL.match(line)
        if MARKER in line:
            name, _, end = line.partition(MARKER)[2].partition('"')[0].rpartition("/")
            now = out.setdefault(name, Counter()) if end == "begin" else None
        elif now is not None and call is not None:
            name, args = call["name"], call["args"]
            assert name not in ("execve", "fork", "vfork") and ("clone" not in name or "CLONE_THREAD" in args), line
            if folder in args or folder in call["rest"]:
                kind = KINDS.get(name)
                if kind is not None:
                    now[kind] += 1
                if kind in ("reads", "writes"):
                    now["bytes read" if kind == "reads" else "bytes written"] += int(call["result"])
    print()
    print("| " + " | ".join(("phase", *COLUMNS)) + " |")
    for name, counts in out.items():
        print("| " + " | ".join((name, *(str(counts[c]) for c in COLUMNS))) + " |")
    return out


WHICH = {"first hit": 0, "hit": 1}  # entry
HEAD, DLOPEN = 4096, 832  # bytes: what is checked of the program headers, and what glibc reads of any library


@pytest.mark.parametrize("phase", ["hit", "first hit"])
def test_a_hit(phases, phase):
    """One open and one read of the whole entry; the loader opens and maps the very file."""
    size = len(prebuilt.entries()[WHICH[phase]].data)
    looked, loaded = phases[f"{phase}: lookup"], phases[f"{phase}: map"]
    stats = looked.pop("stats")
    assert looked == {"opens": 1, "reads": 1, "bytes read": size}
    if phase == "hit":
        assert stats == 2  # the folder that it is in, and the open file
    assert loaded == {"opens": 1, "reads": 2, "bytes read": HEAD + DLOPEN, "maps": 3, "stats": 2}


def test_a_hit_from_a_graph(phases):
    """From the graph to the callable: no call more than the hit itself, and the worker pool, which is loaded, is not looked for."""
    size = len(prebuilt.entries()[1].data)
    assert phases["from a graph"] == {"opens": 2, "reads": 3, "bytes read": size + HEAD + DLOPEN, "maps": 3, "stats": 4}
    first = phases["first from a graph"]
    assert first["opens"] == 2 and first["reads"] == 3 and first["fsyncs"] == first["writes"] == 0


def test_a_miss(phases):
    """One look at the folder that the entry would be in."""
    assert phases["miss: lookup"] == {"stats": 1}
    assert phases["first miss: lookup"] == {"stats": 1}


def test_a_put(phases):
    """One file is written, synced and renamed, and one record is added to the account."""
    size = len(prebuilt.entries()[2].data)
    counts = phases["put"]
    assert {k: counts[k] for k in ("writes", "bytes written", "fsyncs", "renames", "mkdirs", "unlinks", "listings")} == {
        "writes": 2, "bytes written": size + 24, "fsyncs": 1, "renames": 1, "mkdirs": 1, "unlinks": 0, "listings": 0,
    }  # fmt: skip
    assert counts["opens"] == 4 and counts["bytes read"] == 72  # the account twice: which file it is, and what was added to it
    first = phases["first put"]
    assert first["fsyncs"] == 1 and first["renames"] == 2  # the account is made


PROGRAM = """
import ingot

@ingot.compile
def f(x):
    return ingot.softmax(x @ x.T, dim=-1)

x = ingot.arange(12, dtype=ingot.float32).reshape(3, 4) / 10
print(f(x).sum().item())
"""


def test_no_process_is_started(tmp_path):
    """Not to compile, not to run from the cache: threads at most."""
    env = {**os.environ, "INGOT_CACHE_DIR": str(tmp_path / "cache")}
    for run in ("cold", "warm"):
        options = ("-e", "trace=execve,execveat,fork,vfork,clone,clone3")
        lines = strace([sys.executable, "-c", PROGRAM], tmp_path / run, tmp_path, env, *options)
        assert sum("execve" in line for line in lines) == 1, lines  # the interpreter itself
        started = [line for line in lines if "fork(" in line or ("clone" in line and "CLONE_THREAD" not in line and "resumed" not in line)]
        assert not started
