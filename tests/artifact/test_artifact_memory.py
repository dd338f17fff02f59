"""What loading takes: no memory of a claimed size, none of the weights until they are used, no file, no process."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import dtypes as dt
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime.artifact import export, load
from tests.support.forging import claim, contents

MB = 1 << 20


# -- claims ------------------------------------------------------------------------------------------------------------

# Loads every file with little more memory than the process has; prints what was said of each, and by how much it grew.
BOUNDED = """
import resource, sys
import numpy as np
from ingot.runtime import threads
from ingot.runtime.artifact import ArtifactError, load
whole = load(sys.argv[1])
room = 48 << 20
def now(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith(field))
resource.setrlimit(resource.RLIMIT_AS, (now("VmSize") + room, resource.RLIM_INFINITY))
before = now("VmHWM")
for path in sys.argv[2:]:
    try:
        load(path)
        print("loaded")
    except ArtifactError as e:
        print(e)
print(now("VmHWM") - before)
"""

HUGE = 1 << 40


def claims(manifest, parts, code):
    """(what is claimed, manifest, parts, what is said of it)"""
    target = manifest["targets"][0]
    huge = {**target["executable"], "arena_bytes": 1 << 45}
    yield "code of a terabyte", manifest, {**parts, code: (parts[code], HUGE, "0" * 64)}, "is more than any artifact has"
    yield "code of 200 MB", manifest, {**parts, code: (parts[code], 200 * MB, "0" * 64)}, f"part '{code}' is damaged"
    yield "a manifest of 30 MB", {**manifest, "name": "x" * (30 * MB)}, parts, "more than any artifact has"
    long_header = (7 * MB).to_bytes(8, "little")
    yield "weights with a header of 7 MB", manifest, {**parts, "weights": (long_header, 8 * MB)}, "the header is no JSON"
    yield "weights with a header of 15 MB", manifest, {**parts, "weights": ((15 * MB).to_bytes(8, "little"), 16 * MB)}, "a header of"
    arena = {**target, "executable": huge, "peak_bytes": 1 << 45 | 1 << 20}
    yield "an arena of 2**45 bytes", {**manifest, "targets": [arena]}, parts, "loaded"
    yield "golden samples of a gigabyte", manifest, {**parts, "golden": (parts["golden"], 20 * MB, "0" * 64)}, "loaded"


def test_nothing_of_a_claimed_size_is_allocated(real, tmp_path):
    manifest, parts = contents(real.path)
    model = load(real.path)
    manifest["targets"] = [t for t in manifest["targets"] if t["level"] == model.level]
    rows = list(claims(manifest, parts, manifest["targets"][0]["code"]))
    paths = []
    for i, (_, m, p, _) in enumerate(rows):
        paths.append(str(tmp_path / f"{i}.ingot"))
        try:
            claim(paths[-1], m, p)
        except OSError as e:
            pytest.skip(f"this file system has no sparse files of a terabyte: {e}")
    done = subprocess.run([sys.executable, "-c", BOUNDED, real.path, *paths], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *said, grown = done.stdout.splitlines()
    assert len(said) == len(rows)
    for (claimed, _, _, expected), line in zip(rows, said):
        assert expected in line, claimed
    assert int(grown) < 40 * MB


# -- large weights -----------------------------------------------------------------------------------------------------


def large(path, monkeypatch, n):
    """An artifact with `n` bytes of zeros for weights, which takes no space: picks four of them."""
    b = Builder("large")
    w, i = b.expr(b.input(tensor_type(dt.f32, (n // 4,)), "w")), b.expr(b.input(tensor_type(dt.i64, (4,)), "i"))
    graph = b.freeze((OPS["gather"](w, i, axis=0).value,))

    def write(path, manifest, parts, check):
        head, data = parts["weights"]
        assert memoryview(data).nbytes == n
        rest = {k: bytes(v) for k, v in parts.items() if k != "weights"}
        claim(path, manifest, {**rest, "weights": (bytes(head), n)})

    with monkeypatch.context() as m:
        m.setattr(export.container, "write", write)
        feed, weights = [("weight", "w"), ("input", 0)], {"w": np.zeros(n // 4, np.float32)}
        export.write_artifact(path, graph, feed, weights, inputs=[("i", graph.in_types[1])])
    assert os.stat(path).st_blocks * 512 < 1 * MB, "the file is not sparse"


def private():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon"))


def mapped(path):
    """What /proc says of the maps of a file: sums in bytes by field."""
    sums: dict[str, int] = {}
    inside = False
    with open("/proc/self/smaps") as f:
        for line in f:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                inside = line.rstrip("\n").endswith(path)
            elif inside and line.endswith("kB\n"):
                field, _, value = line.partition(":")
                sums[field] = sums.get(field, 0) + (int(value.split()[0]) << 10)
    return sums


def bytes_read():
    with open("/proc/self/io") as f:
        return int(f.readline().split()[1])


def test_large_weights_take_nothing_until_they_are_used(tmp_path, monkeypatch, long):
    """A gigabyte in the long form. Nothing of it is read by loading, whose time does not depend on it then."""
    n = (1024 if long else 64) * MB
    path = str(tmp_path / "large.ingot")
    large(path, monkeypatch, n)
    load(path)  # so that all code it needs is imported
    before, read = private(), bytes_read()
    m = load(path)
    assert bytes_read() - read < 1 * MB
    assert private() - before < 4 * MB
    assert m.weights["w"].nbytes == n and m.peak_bytes >= n
    maps = mapped(path)
    assert maps["Size"] >= n and maps["Rss"] <= 2 * MB  # the header of the section, and what the kernel maps around it
    at = np.array([0, 1, n // 8, -1])
    np.testing.assert_array_equal(m(at), np.zeros(4, np.float32))  # compares them with their checksum: reads all of them
    assert mapped(path)["Rss"] >= n and private() - before < 8 * MB
    for field in ("Private_Dirty", "Shared_Dirty", "Swap"):
        assert mapped(path)[field] == 0, field


HOLD = """
import sys
import numpy as np
from ingot.runtime.artifact import load
m = load(sys.argv[1])
assert not m(np.zeros(4, np.int64)).any()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_processes_share_the_weights(tmp_path, monkeypatch):
    path, n = str(tmp_path / "large.ingot"), 32 * MB
    large(path, monkeypatch, n)
    m = load(path)
    m(np.zeros(4, np.int64))
    alone = mapped(path)
    assert alone["Rss"] >= n and alone["Private_Clean"] + alone["Private_Dirty"] >= n
    pipe = subprocess.PIPE
    others = [subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    try:
        for p in others:
            assert p.stdout is not None and p.stdout.readline() == "ready\n"
        together = mapped(path)
    finally:
        for p in others:
            p.communicate("\n", timeout=60)
    assert together["Rss"] >= n and together["Shared_Clean"] + together["Shared_Dirty"] >= n
    assert together["Private_Clean"] + together["Private_Dirty"] < n // 16
    assert together["Pss"] < n // 2  # each of three bears a third


def test_the_model_outlives_its_file(real, copy):
    """Replaced or removed, as by an export of the next version: what was loaded goes on, and verifies itself."""
    m = load(copy)
    os.unlink(copy)
    assert real.right(m(*real.args)) and m.verify()
    with open(copy, "wb") as f:
        f.write(b"something else")
    assert m.verify()


def test_descriptors_are_closed(real):
    def count():
        return len(os.listdir("/proc/self/fd"))

    load(real.path)
    before = count()
    models = [load(real.path) for _ in range(10)]
    assert count() - before <= 10  # the one map that each has of its file keeps one
    del models
    assert count() == before


# -- no file, no process -----------------------------------------------------------------------------------------------

SERVE = """
import json, os, sys
import numpy as np
import ingot.runtime.artifact.model
import ctypes, _ctypes
try:
    os.stat("/from-here")
except OSError:
    pass
m = ingot.runtime.artifact.model.load(sys.argv[1])
x = [np.ones(i.shape, i.dtype) for i in m.inputs]
m({"x": x[0]}, x[1], x[2], "first")
m.verify()
with open("/proc/self/maps") as f:
    code = [line for line in f if "memfd:ingot" in line and " r-xp " in line]
print(len(code))
"""


def test_code_is_mapped_from_memory(real, tmp_path):
    """No temporary folder is needed, nor a home, nor a current one that can be written."""
    nowhere = {"TMPDIR": "/nonexistent", "HOME": "/nonexistent", "INGOT_CACHE_DIR": "/nonexistent/cache"}
    env = {**os.environ, **nowhere, "INGOT_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", SERVE, real.path], capture_output=True, text=True, cwd="/proc", env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 2  # the code and the worker pool


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_loading_writes_no_file_and_starts_no_process(real, tmp_path):
    log = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=%file,%process,memfd_create"]
    command = [*strace, sys.executable, "-c", SERVE, real.path]
    env = {**os.environ, "INGOT_NUM_THREADS": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=300)
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    start = next(i for i, line in enumerate(lines) if "/from-here" in line)
    after = lines[start + 1 :]
    writes = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|^(mkdir|rename|link|symlink|unlink|mknod|creat|truncate|chmod)")
    assert not [line for line in after if writes.search(line)]
    started = re.compile(r"^(execve|execveat|fork|vfork)\(|^clone3?\((?!.*CLONE_THREAD)")
    assert not [line for line in after if started.search(line)]
    assert sum("memfd_create" in line for line in after) == 2
    assert sum("real.ingot" in line for line in after) == 1  # opened once: never by its path twice


