"""Export replaces a file as a whole: whatever fails, the old one stays or none, and no temporary where the process lives."""

import gc
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot.runtime.artifact import ArtifactError, container, load
from ingot.runtime.artifact.container import Container

NEW, OLD = {"a": bytes(range(256)) * 700, "b": [b"x" * 5000, b"y" * 9000]}, {"a": b"old"}


def read(path):
    with Container(path) as c:
        return {name: c.read(name) for name in c.parts}


CALLS = ("open", "write", "fsync", "close", "replace")


def count_calls(tmp_path, monkeypatch):
    """The system calls of one export, in order."""
    calls = []
    with monkeypatch.context() as m:
        for name in CALLS:
            real = getattr(os, name)
            m.setattr(container.os, name, lambda *a, name=name, real=real: calls.append(name) or real(*a))
        container.write(str(tmp_path / "count.ingot"), {"name": "m"}, NEW)
    os.unlink(tmp_path / "count.ingot")
    return calls


@pytest.fixture
def no_finalisers():
    """What other tests have left behind closes no files meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_finalisers")
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_every_system_call_may_fail(tmp_path, monkeypatch, old, error):
    path = str(tmp_path / "m.ingot")
    calls = count_calls(tmp_path, monkeypatch)
    assert set(calls) == set(CALLS) and calls.count("write") > 5
    for n in range(len(calls)):
        if old:
            container.write(path, {"name": "m"}, OLD)
        left = [n]

        def failing(*args, real, name, left=left):
            left[0] -= 1
            if left[0] == -1:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                elif name == "close":
                    real(*args)
                raise error
            return real(*args)

        with monkeypatch.context() as m:
            for name in CALLS:
                real = getattr(os, name)
                m.setattr(container.os, name, lambda *a, name=name, real=real: failing(*a, real=real, name=name))
            with pytest.raises(type(error)):
                container.write(path, {"name": "m"}, NEW)
        assert os.listdir(tmp_path) == (["m.ingot"] if old else []), (n, calls[n])
        assert not old or read(path) == {"a": b"old"}
    container.write(path, {"name": "m"}, NEW)
    assert read(path).keys() == NEW.keys()


# Forks one child for each system call of an export, which is killed there: in the middle of it, where it writes.
KILLED = """
import os, signal, sys
from ingot.runtime.artifact import container
folder, old = sys.argv[1], sys.argv[2] == "old"
path = os.path.join(folder, "m.ingot")
new, before = {"a": bytes(range(256)) * 700, "b": [b"x" * 5000, b"y" * 9000]}, {"a": b"old"}

def content():
    try:
        with container.Container(path) as c:
            return sorted((n, c.read(n)) for n in c.parts)
    except FileNotFoundError:
        return None

n = 0
while True:
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    if old:
        container.write(path, {"name": "m"}, before)
    expected = content()
    child = os.fork()
    if not child:
        left = n
        for name in ("open", "write", "fsync", "close", "replace"):
            def call(*args, real=getattr(os, name), name=name, **kw):
                global left
                left -= 1
                if left == -1:
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kw)
            setattr(container.os, name, call)
        container.write(path, {"name": "m"}, new)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    found = content()
    done = sorted((k, b"".join(v) if isinstance(v, list) else v) for k, v in new.items())
    assert found in (expected, done), n
    container.write(path, {"name": "m"}, new)  # and the next export succeeds
    n += 1
assert content() == sorted((k, b"".join(v) if isinstance(v, list) else v) for k, v in new.items())
print(n)
"""


@pytest.mark.parametrize("old", ["old", "none"])
def test_killed_at_every_system_call(tmp_path, old):
    folder = tmp_path / "exports"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), old], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8


@pytest.mark.parametrize("old", [True, False])
def test_no_space(tmp_path, old):
    """A real limit of the system: `ingot.export` raises OSError, and leaves what was there."""
    path = str(tmp_path / "m.ingot")
    net, x = ingot.nn.Linear(200, 200), ingot.ones(1, 200)
    ingot.export(net, x, str(tmp_path / "warm.ingot"))  # compiled now, so that no cache is written under the limit
    os.unlink(tmp_path / "warm.ingot")
    if old:
        ingot.export(lambda x: x + 1, ingot.ones(2), path)
        with open(path, "rb") as f:
            before = f.read()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            ingot.export(net, x, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == (["m.ingot"] if old else [])
    if old:
        with open(path, "rb") as f:
            assert f.read() == before
    ingot.export(net, x, path)
    assert load(path)(x.numpy()).shape == (1, 200)


def test_what_cannot_be_read_is_not_exported(tmp_path, monkeypatch):
    """The finished file is read again before it gets its name: the old one stays where that fails."""
    path = str(tmp_path / "m.ingot")
    ingot.export(lambda x: x + 1, ingot.ones(3), path)
    real_write = os.write

    def rotten(fd, data):
        exported = os.path.dirname(os.readlink(f"/proc/self/fd/{fd}")) == str(tmp_path)  # others write, too: the cache
        return real_write(fd, bytes(data).replace(b"\x7fELF", b"\x7fELG") if exported else data)

    with monkeypatch.context() as m:
        m.setattr(container.os, "write", rotten)
        with pytest.raises(ArtifactError) as e:
            ingot.export(lambda x: x * 5, ingot.ones(3), path)
    assert str(e.value).startswith(f"{path}: part 'code/") and "is damaged" in str(e.value)
    assert os.listdir(tmp_path) == ["m.ingot"]
    np.testing.assert_array_equal(load(path)(np.ones(3, np.float32)), [2, 2, 2])


def test_a_name_as_long_as_may_be(tmp_path):
    path = str(tmp_path / ("n" * 249 + ".ingot"))
    ingot.export(lambda x: x + 1, ingot.ones(3), path)
    assert load(path).peak_bytes == 24 and len(os.listdir(tmp_path)) == 1


def test_export_for_another_machine(tmp_path):
    """A file with no code for this machine is written all the same, and says so where it is loaded."""
    from ingot.runtime.artifact import host

    path = str(tmp_path / "m.ingot")
    other = "aarch64" if host.architecture() == "x86_64" else "x86-64-v3"
    ingot.export(lambda x: x + 1, ingot.ones(3), path, targets=[other])
    with pytest.raises(ArtifactError, match="no code for this CPU"):
        load(path)
