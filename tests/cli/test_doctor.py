"""`ingot doctor`: each thing that goes wrong is found, with its remedy, and nothing is left behind."""

import json
import os
import resource
import subprocess
import sys
import time

import pytest

from ingot.backends import backend
from ingot.runtime import threads
from ingot.runtime.artifact import host
from ingot.runtime.cache import Cache
from ingot.runtime.cache import key as keys
from ingot.runtime.cli import doctor, doctor_cache, doctor_machine
from tests.support.cli import json_of, run

LEVELS = backend("cpu").levels


@pytest.fixture
def home(tmp_path, monkeypatch):
    os.chmod(tmp_path, 0o700)
    for name in [n for n in os.environ if n.startswith("INGOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def found(subject, state=None):
    return [f for f in doctor.examine() if f.subject == subject and state in (None, f.state)]


def tree(folder):
    return sorted(os.path.join(root, n) for root, folders, names in os.walk(folder) for n in folders + names)


def test_nothing_is_changed(capsys, home):
    before = tree(home)
    code, out, err = run(capsys, "doctor")
    assert code == 0, out
    assert tree(home) == before
    assert "is not there yet" in out and "renames over open files" in out and " fail" in err
    Cache(str(home / "cache")).own.create()
    before = tree(home)
    doc = json_of(capsys, "doctor")
    assert doc["ok"] and doc["counts"]["fail"] == 0 and tree(home) == before
    assert {f["subject"] for f in doc["findings"]} >= {"cache", "file system", "CPU", "threads", "memory", "limits", "extras", "GPU"}
    for f in doc["findings"]:
        assert set(f) == {"subject", "state", "text", "remedy"} and f["state"] in doctor.STATES and f["text"]
        assert f["remedy"] or f["state"] not in ("warn", "fail"), f


def test_switches(capsys, home, monkeypatch):
    monkeypatch.setenv("INGOT_LOGG", "cache")
    monkeypatch.setenv("INGOT_NUM_THREADS", "none")
    findings = json_of(capsys, "doctor", code=1)["findings"]
    by_text = {f["text"]: f for f in findings}
    assert by_text["INGOT_LOGG is set, and no switch has that name"]["remedy"].startswith("did you mean INGOT_LOG?")
    assert any(f["state"] == "fail" and "INGOT_NUM_THREADS" in f["text"] for f in findings)


def test_folders_that_are_not_trusted(capsys, home, monkeypatch):
    (home / "open").mkdir()
    os.chmod(home / "open", 0o777)
    for folder in (home / "open", home / "open" / "below"):
        monkeypatch.setenv("INGOT_CACHE_DIR", str(folder))
        (f,) = found("cache")
        assert f.state == "fail" and "written by others" in f.text
    assert run(capsys, "doctor")[0] == 1
    assert run(capsys, "doctor", "--dir", str(home / "other"))[0] == 0
    monkeypatch.setenv("INGOT_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("INGOT_CACHE_PATH", f"{home}/open:{home}/none")
    (home / "open" / "v1").mkdir()
    assert [f.state for f in found("shared caches")] == ["fail", "warn"]
    monkeypatch.setenv("INGOT_CACHE_TRUST", "signed")
    (f,) = found("shared caches")
    assert f.state == "fail" and "INGOT_CACHE_KEYS" in f.text


def test_readable_by_others_and_no_home(home, monkeypatch):
    Cache(str(home / "cache")).own.create()
    os.chmod(home / "cache", 0o755)
    assert "others can read it" in found("cache", "note")[0].text
    monkeypatch.delenv("INGOT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/")
    assert "no home folder" in found("cache", "warn")[0].text and not found("file system")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(home):
    os.chmod(home, 0o500)
    try:
        assert "cannot be written" in found("cache", "warn")[0].text
    finally:
        os.chmod(home, 0o700)


def test_file_systems_by_name(home, monkeypatch):
    Mount = doctor_cache._Mount
    for kind, words in (("nfs4", "network file system (nfs4, server:/x)"), ("tmpfs", "next restart"), ("overlay", "a volume")):
        monkeypatch.setattr(doctor_cache, "_mount", lambda p, k=kind: Mount("/x", k, "server:/x", frozenset()))
        assert words in found("file system", "note")[0].text
    monkeypatch.setattr(doctor_machine, "refusal", lambda fd: "Operation not permitted")
    monkeypatch.setattr(doctor_cache, "_mount", lambda p: Mount("/x", "ext4", "dev", frozenset(("rw", "noexec"))))
    assert found("file system", "warn")[0].text.startswith("/x is mounted noexec")
    monkeypatch.setattr(doctor_cache, "_mount", lambda p: Mount("/x", "ext4", "dev", frozenset(("rw",))))
    monkeypatch.setattr(doctor_machine, "security_module", lambda: "look for a denial")
    f = found("file system", "warn")[0]
    assert "refuses to map it as code (Operation not permitted)" in f.text and f.remedy == "look for a denial"
    assert found("memory files", "fail")


def test_the_mount_of_a_folder(tmp_path):
    mount = doctor_cache._mount(str(tmp_path))
    assert mount is not None and str(tmp_path.resolve()).startswith(mount.point) and mount.kind
    proc = doctor_cache._mount("/proc/self")
    assert proc is not None and proc.kind == "proc"


def test_a_file_system_that_fails(home, monkeypatch):
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    f = found("file system", "fail")[0]
    assert "No space left on device" in f.text and f.remedy
    monkeypatch.setattr(os, "fsync", real)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 3600)
    assert "clock differs" in found("file system", "warn")[0].text
    assert not [n for n in os.listdir(home) if n.startswith(".ingot-doctor")]


def test_little_room(home, monkeypatch):
    class Full:
        f_bavail, f_frsize, f_files, f_favail = 1, 4096, 10, 5

    monkeypatch.setattr(os, "statvfs", lambda p: Full)
    assert "only 4.0 KiB are free" in found("file system", "warn")[0].text
    Full.f_bavail = 1 << 40
    assert "only 5 more files" in found("file system", "warn")[0].text


def test_entries(home, make, monkeypatch):
    cache = Cache(str(home / "cache"))
    best = backend("cpu").host_level().name
    other = next(n for n, level in LEVELS.items() if level.triple.split("-")[0] != os.uname().machine)
    make(cache, "f", "func @a", 5.0, other, sources=keys.sources_digest())
    texts = [f.text for f in found("entries")]
    assert any(f"1 are for {other}, which this CPU cannot run" in t for t in texts)
    assert any(f"none is for {best}" in t for t in texts)
    make(cache, "f", "func @b", 5.0, best)
    texts = [f.text for f in found("entries")]
    assert not any("none is for" in t for t in texts) and any("1 of the 2 latest used were made by another version" in t for t in texts)
    key = make(cache, "f", "func @c", 5.0, best)
    with open(cache.own.path(key), "r+b") as f:
        f.truncate(1000)
    assert "1 are damaged" in found("entries", "warn")[0].text
    cache.own.set_aside(key)
    f = found("entries", "warn")[0]
    assert "1 damaged entries were set aside" in f.text and "ingot cache clear" in f.remedy
    monkeypatch.setenv("INGOT_CACHE_MAX_ENTRIES", "2")
    assert any("INGOT_CACHE_MAX_ENTRIES" in f.remedy for f in found("entries", "note"))


def test_cpu(home, monkeypatch):
    monkeypatch.setenv("INGOT_CPU_LEVEL", "z80")
    assert "'z80' is not one of" in found("CPU", "fail")[0].text
    monkeypatch.delenv("INGOT_CPU_LEVEL")
    features = "ingot.backends.cpu.levels.host_features"
    ours = [name for name, level in LEVELS.items() if level.arch == os.uname().machine]
    lowest, highest = ours[0], ours[-1]
    monkeypatch.setattr(features, lambda: frozenset(LEVELS[lowest].needs))
    assert f"level {lowest}" in found("CPU", "ok")[0].text
    if highest != lowest:
        monkeypatch.setenv("INGOT_CPU_LEVEL", highest)
        assert f"no more than {lowest}" in found("CPU", "warn")[0].text
        monkeypatch.delenv("INGOT_CPU_LEVEL")
    monkeypatch.setattr(features, frozenset)
    assert "below the lowest level" in found("CPU", "fail")[0].text
    monkeypatch.setattr(host, "features", frozenset)
    assert "does not tell" in found("CPU", "warn")[0].text


@pytest.mark.parametrize(
    "n, quota, state, words",
    [("1", None, "ok", "no quota"), ("1", 4.0, "ok", "a quota of 4 CPUs"), ("9999", None, "warn", "9999 threads"),
     ("1", 0.5, "warn", "a quota of 0.5 CPUs")],
)  # fmt: skip
def test_threads(home, monkeypatch, n, quota, state, words):
    monkeypatch.setenv("INGOT_NUM_THREADS", n)
    monkeypatch.setattr(threads, "_quota", lambda: quota)
    (f,) = found("threads")
    assert f.state == state and words in f.text


def test_memory(home, monkeypatch):
    for limit, state, words in ((None, "ok", "no limit"), (100 << 20, "warn", "grants 100.0 MiB"), (1 << 30, "ok", "1.0 GiB of")):
        monkeypatch.setattr(doctor_machine, "_memory_limit", lambda v=limit: v)
        (f,) = found("memory")
        assert f.state == state and words in f.text


def test_the_memory_limit_of_nested_control_groups(monkeypatch, tmp_path):
    files = {
        "/proc/self/cgroup": "1:cpu:/\n5:memory:/a\n0::/a/b\n",
        "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "5000\n",
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "7000\n",
    }  # fmt: skip

    def opened(path, *args):
        if path not in files:
            raise FileNotFoundError(path)
        (tmp_path / "f").write_text(files[path])
        return real(tmp_path / "f")

    real = open
    monkeypatch.setattr(doctor_machine, "open", opened, raising=False)
    assert doctor_machine._memory_limit() == 5000
    files["/sys/fs/cgroup/a/memory.max"] = "max"
    assert doctor_machine._memory_limit() == 7000
    files["/proc/self/cgroup"] = "nonsense"
    assert doctor_machine._memory_limit() is None


def test_limits_of_the_process(home):
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from ingot.runtime.cli import main
sys.exit(main(["doctor", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    (f,) = [f for f in json.loads(done.stdout)["findings"] if f["subject"] == "limits"]
    assert f["state"] == "warn" and f["text"].startswith("64 open files") and f["remedy"] == "ulimit -n 1024"


def test_limits_that_suffice(home, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert [f.state for f in found("limits")] == ["ok"]


def test_what_is_missing(home, monkeypatch):
    monkeypatch.setattr(doctor_machine, "_installed", lambda package: False)
    extras = found("extras")
    assert {f.remedy for f in extras if f.state == "warn"} == {"pip install safetensors", "pip install rich", "pip install ml_dtypes"}
    assert "pip install 'ingot[sign]'" in {f.remedy for f in extras if f.state == "note"}
    monkeypatch.setattr(keys, "llvmlite_version", lambda: None)
    assert found("compiler", "warn")[0].remedy == "pip install llvmlite"


def test_a_check_that_fails_is_a_finding(home, monkeypatch):
    monkeypatch.setattr(doctor_machine, "gpu", lambda: 1 // 0)
    assert "ZeroDivisionError" in found("GPU", "fail")[0].text


def test_long_lines_are_broken_where_there_is_a_terminal():
    f = doctor.Finding("cache", "warn", "word " * 30, "remedy " * 10)
    lines = doctor._lines(f, 60)
    assert len(lines) > 4 and all(len(line) <= 60 for line in lines)
    assert lines[0].startswith("warn  cache         word") and lines[1].startswith(" " * 20 + "word")
    assert len(doctor._lines(f, 0)) == 2
