"""`ingot doctor`: what goes wrong in the field, each finding with its remedy. Nothing is changed."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ingot.runtime import switches, threads
from ingot.runtime.artifact import host
from ingot.runtime.cache import key
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cache.store import default_folder
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT

__all__ = ["run", "examine", "Finding"]


class Finding(NamedTuple):
    """One thing looked at. `state`: ok, note (nothing is wrong), warn (it costs something), fail."""

    subject: str
    state: str
    text: str
    remedy: str = ""


def run(as_json: bool, folder: str | None = None) -> int:
    """Print all findings; exit code 1 if anything fails."""
    found = list(examine())
    if as_json:
        output.document("doctor", findings=[f._asdict() for f in found])
    else:
        output.table(("subject", "state", "finding"), [(f.subject, f.state, f.text) for f in found])
        for f in found:
            if f.remedy:
                print(f"{f.subject}: {f.remedy}")
    return EXIT["finding"] if any(f.state == "fail" for f in found) else EXIT["fine"]


def examine() -> Iterator[Finding]:
    """All findings, in a fixed order. A check that fails to run is a finding too."""
    for name, check in _CHECKS:
        try:
            yield from check()
        except Exception as e:  # a doctor must not die of what it finds
            yield Finding(name, "fail", f"the check itself failed: {type(e).__name__}: {e}", "please report this")


def _versions() -> Iterator[Finding]:
    import numpy

    import ingot

    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", "ok", f"ingot {ingot.__version__}, Python {python}, NumPy {numpy.__version__}")
    llvmlite = key.llvmlite_version()
    if llvmlite is None:
        yield Finding("compiler", "warn", "llvmlite is not installed: only artifacts and cached code run", "pip install llvmlite")
    else:
        yield Finding("compiler", "ok", f"llvmlite {llvmlite}")


def _switches() -> Iterator[Finding]:
    known = {s.name for s in switches.SWITCHES}
    for name in sorted(n for n in os.environ if n.startswith("INGOT_")):
        if name not in known:
            yield Finding("switches", "warn", f"{name} is set, and no switch has that name", "see docs/switches.md")
            continue
        try:
            switches.get(name)
        except switches.SwitchError as e:
            yield Finding("switches", "fail", str(e), f"correct or unset {name}")
        else:
            yield Finding("switches", "note", f"{name}={os.environ[name]}")


def _cache() -> Iterator[Finding]:
    folder = default_folder()
    if folder is None:
        yield Finding("cache", "warn", "there is no home folder: every process compiles anew", "set INGOT_CACHE_DIR")
        return
    layer = Layer(folder, True)
    try:
        layer.create()
    except OSError as e:
        yield Finding("cache", "warn", f"not usable: {e}", "set INGOT_CACHE_DIR to a folder of your own; entries live in memory only")
        return
    yield Finding("cache", "ok", f"{folder}, private to this user")
    yield from _file_system(folder)
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < 64 << 20:
        yield Finding("cache", "warn", f"only {output.size(free.f_bavail * free.f_frsize)} are free in {folder}", "ingot cache prune")
    for path in switches.get("INGOT_CACHE_PATH"):
        shared = Layer(path, False)
        usable = shared.check()
        why = shared.refused or f"{path} is not there"
        yield Finding("cache", "ok", f"{path}, only read") if usable else Finding("cache", "warn", why, "correct INGOT_CACHE_PATH")


def _file_system(folder: str) -> Iterator[Finding]:
    """Write, sync, rename and map as executable, as entries are."""
    a, b = (os.path.join(folder, f".doctor-{os.getpid()}-{x}") for x in "ab")
    try:
        with open(a, "xb") as f:
            f.write(b"\xc3" * mmap.PAGESIZE)
            f.flush()
            os.fsync(f.fileno())
        os.rename(a, b)
        with open(b, "rb") as f:
            try:
                mmap.mmap(f.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
                yield Finding("file system", "ok", "writes, syncs, renames, and lets code be mapped")
            except OSError:
                yield Finding(
                    "file system",
                    "warn",
                    f"{folder} is mounted noexec: code is mapped from copies in memory",
                    "set INGOT_CACHE_DIR to a folder on a file system without noexec to share the pages",
                )
    except OSError as e:
        yield Finding("file system", "fail", f"{folder}: {e}", "make room or set INGOT_CACHE_DIR")
    finally:
        for path in (a, b):
            if os.path.exists(path):
                os.unlink(path)


def _memory_files() -> Iterator[Finding]:
    try:
        fd = os.memfd_create("doctor", os.MFD_CLOEXEC)
    except (OSError, AttributeError) as e:
        yield Finding("memory files", "fail", f"memfd_create: {e}: artifacts cannot be loaded", "Linux 3.17 or later is needed")
        return
    try:
        os.ftruncate(fd, mmap.PAGESIZE)
        mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
        yield Finding("memory files", "ok", "code can be mapped from memory")
    except OSError as e:
        yield Finding("memory files", "fail", f"code cannot be mapped from memory ({e})", "sysctl vm.memfd_noexec=0")
    finally:
        os.close(fd)


def _cpu() -> Iterator[Finding]:
    features = host.features()
    if not features:
        yield Finding("CPU", "warn", "the system does not tell its features", "mount /proc")
        return
    from ingot.backends.cpu import level

    best = level.host_level()
    yield Finding("CPU", "ok", f"{host.architecture()}, level {best.name} (of {', '.join(level.LEVELS)})")


def _threads() -> Iterator[Finding]:
    n, cpus = threads.default_num_threads(), os.cpu_count() or 1
    mask = len(os.sched_getaffinity(0))
    yield Finding("threads", "ok" if n <= mask else "warn", f"{n} threads; {cpus} CPUs, {mask} in this process's mask",
                  "" if n <= mask else "lower INGOT_NUM_THREADS: more threads than CPUs are slow")  # fmt: skip
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
            setting = f.read()
    except OSError:
        return
    if "[never]" in setting:
        yield Finding("huge pages", "warn", "transparent huge pages are off: large tensors cost more page faults",
                      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")  # fmt: skip
    else:
        yield Finding("huge pages", "ok", setting.strip())


def _extras() -> Iterator[Finding]:
    from importlib.util import find_spec

    for package, what in (("safetensors", "state dicts"), ("rich", "tables and progress bars"), ("ml_dtypes", "bfloat16 arrays")):
        if find_spec(package) is None:
            yield Finding("extras", "warn", f"{package} is missing ({what})", f"pip install {package}")
    for package, extra in (("sklearn", "demo"), ("pycuda", "cuda")):
        if find_spec(package) is None:
            yield Finding("extras", "note", f"{package} is not installed", f"pip install ingot[{extra}]")
        else:
            yield Finding("extras", "ok", package)


def _gpu() -> Iterator[Finding]:
    import ctypes

    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        yield Finding("GPU", "note", "no NVIDIA driver: everything runs on the CPU")
        return
    count = ctypes.c_int(0)
    error = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if error or not count.value:
        yield Finding("GPU", "warn", f"the NVIDIA driver is there, and finds no device (error {error})", "check nvidia-smi")
    else:
        yield Finding("GPU", "ok", f"{count.value} NVIDIA device(s)")


_CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("versions", _versions),
    ("switches", _switches),
    ("cache", _cache),
    ("memory files", _memory_files),
    ("CPU", _cpu),
    ("threads", _threads),
    ("extras", _extras),
    ("GPU", _gpu),
)
