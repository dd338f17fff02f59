"""What `ingot doctor` looks at in the process and the machine: versions, switches, CPU, threads, memory, limits, extras, GPU."""

from __future__ import annotations

import mmap
import os
import resource
import sys
from collections.abc import Iterator

from ingot.runtime import switches, threads
from ingot.runtime.artifact import host
from ingot.runtime.cache import key
from ingot.runtime.cli import output
from ingot.runtime.cli.findings import Finding

__all__ = [
    "cpu", "environment", "extras", "gpu", "huge_pages", "limits", "memory", "memory_files", "processors", "refusal", "versions",
]  # fmt: skip

_PACKAGES = (  # what Ingot is installed with: package, what it is needed for
    ("safetensors", "state dicts"), ("rich", "tables and progress bars"), ("ml_dtypes", "bfloat16 arrays"),
)  # fmt: skip
_EXTRAS = (  # package, extra, what it is for
    ("sklearn", "demo", "ingot demo"), ("cryptography", "sign", "signed caches"), ("shtab", "completion", "completion in a shell"),
    ("pycuda", "cuda", "NVIDIA GPUs"),
)  # fmt: skip
_LITTLE_MEMORY = 512 << 20
_SOFT_LIMITS = (  # limit, below what it matters, what then goes wrong, remedy
    (resource.RLIMIT_NOFILE, 256, "open files", "many artifacts or DataLoader workers run out of them", "ulimit -n 1024"),
    (resource.RLIMIT_AS, 8 << 30, "bytes of address space", "weights and code are mapped, and may not fit", "ulimit -v unlimited"),
    (resource.RLIMIT_FSIZE, 64 << 20, "bytes per file", "cache entries and artifacts may not be written", "ulimit -f unlimited"),
    (resource.RLIMIT_NPROC, 64, "processes and threads", "the worker pool may stay smaller", "ulimit -u 1024"),
)


def versions() -> Iterator[Finding]:
    """Ingot, Python, NumPy and the compiler."""
    import numpy

    import ingot

    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", "ok", f"ingot {ingot.__version__}, Python {python}, NumPy {numpy.__version__}")
    if key.llvmlite_version() is None:
        yield Finding("compiler", "warn", "llvmlite is not installed: only artifacts and cached code run", "pip install llvmlite")
        return
    try:
        import llvmlite.binding as llvm
    except (ImportError, OSError) as e:
        text = f"llvmlite {key.llvmlite_version()} cannot be imported: {e}"
        yield Finding("compiler", "fail", text, "pip install --force-reinstall llvmlite")
        return
    yield Finding("compiler", "ok", f"llvmlite {key.llvmlite_version()}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}")


def environment() -> Iterator[Finding]:
    """Switches that are set: known ones, wrong ones, and names that are none."""
    import difflib

    known = {s.name for s in switches.SWITCHES}
    for name in sorted(n for n in os.environ if n.startswith("INGOT_")):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}? " if near else ""
            yield Finding("switches", "warn", f"{name} is set, and no switch has that name", f"{remedy}docs/switches.md lists them")
            continue
        try:
            switches.get(name)
        except switches.SwitchError as e:
            yield Finding("switches", "fail", str(e), f"correct or unset {name}")
        else:
            yield Finding("switches", "note", f"{name}={os.environ[name]}")


def cpu() -> Iterator[Finding]:
    """Which level of code this CPU runs, and which is asked for."""
    from ingot.backends import backend

    cpu = backend("cpu")

    if not host.features():
        yield Finding("CPU", "warn", "the system does not tell its features", "mount /proc")
        return
    try:
        best = cpu.host_level()
    except RuntimeError as e:
        yield Finding("CPU", "fail", str(e), "Ingot's code does not run on this processor")
        return
    yield Finding("CPU", "ok", f"{host.architecture()}, level {best.name} (of {', '.join(cpu.levels)})")
    wanted = switches.get("INGOT_CPU_LEVEL")
    if wanted is None:
        return
    try:
        asked = cpu.host_level(wanted)
    except ValueError as e:
        yield Finding("CPU", "fail", f"INGOT_CPU_LEVEL: {e}", "correct or unset INGOT_CPU_LEVEL")
        return
    if asked.name != wanted:
        text = f"INGOT_CPU_LEVEL asks for {wanted}; this CPU has no more than {asked.name}"
        yield Finding("CPU", "warn", text, f"INGOT_CPU_LEVEL={asked.name}")
    elif asked is not best:
        yield Finding("CPU", "note", f"INGOT_CPU_LEVEL keeps code to {wanted}: slower here than {best.name}")


def processors() -> Iterator[Finding]:
    """Threads against the CPUs that this process may use."""
    n, cpus = threads.default_num_threads(), os.cpu_count() or 1
    mask, quota = len(os.sched_getaffinity(0)), threads._quota()
    granted = "no quota" if quota is None else f"a quota of {quota:g} CPUs"
    text = f"{n} threads; {cpus} CPUs, {mask} in this process's mask, {granted} of the control group"
    if n > mask:
        yield Finding("threads", "warn", text, "lower INGOT_NUM_THREADS: more threads than CPUs are slow")
    elif quota is not None and n > max(quota, 1):
        yield Finding("threads", "warn", text, "lower INGOT_NUM_THREADS or raise the quota: the group is halted when its time is used up")
    elif quota is not None and quota < 1:
        yield Finding("threads", "warn", text, "grant at least one CPU: with less, every call may wait for its next share of time")
    else:
        yield Finding("threads", "ok", text)


def memory() -> Iterator[Finding]:
    """What the machine has, and what the control group grants."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _memory_limit()
    if limit is None or limit >= total:
        yield Finding("memory", "ok", f"{output.size(total)}, no limit of the control group")
    elif limit < _LITTLE_MEMORY:
        yield Finding("memory", "warn", f"the control group grants {output.size(limit)} of {output.size(total)}: compiling may not fit",
                      "raise the limit, or compile elsewhere (ingot cache warm, export, import)")  # fmt: skip
    else:
        yield Finding("memory", "ok", f"{output.size(limit)} of {output.size(total)}, by the limit of the control group")


def _memory_limit() -> int | None:
    """Bytes that the control group may use (v2, then v1), the least of all levels; None where there is no limit."""
    try:
        with open("/proc/self/cgroup") as f:
            groups = [line.rstrip("\n").split(":", 2)[1:] for line in f]
    except (OSError, IndexError):
        return None
    found = []
    for controllers, path in (g for g in groups if len(g) == 2):
        if controllers == "":
            root, name = "/sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        while True:
            try:
                with open(f"{root}{path.rstrip('/')}/{name}") as f:
                    found.append(int(f.read()))  # "max" is no number
            except (OSError, ValueError):
                pass
            if path in ("/", ""):
                break
            path = os.path.dirname(path)
    return min(found, default=None)


def limits() -> Iterator[Finding]:
    """Limits of the process that are so low that they matter."""
    low = False
    for which, enough, what, consequence, remedy in _SOFT_LIMITS:
        soft = resource.getrlimit(which)[0]
        if soft != resource.RLIM_INFINITY and soft < enough:
            low = True
            yield Finding("limits", "warn", f"{soft} {what}: {consequence}", remedy)
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if _installed("pycuda") and locked != resource.RLIM_INFINITY and locked < 64 << 20:
        low = True
        yield Finding("limits", "note", f"{output.size(locked)} may be locked; what a GPU's driver pins is not counted")
    if not low:
        yield Finding("limits", "ok", "open files, address space, file sizes and processes suffice")


def memory_files() -> Iterator[Finding]:
    """Artifacts, and entries on noexec file systems, are mapped from files in memory."""
    try:
        try:
            fd = os.memfd_create("doctor", os.MFD_CLOEXEC | 0x10)  # MFD_EXEC
        except OSError:
            fd = os.memfd_create("doctor", os.MFD_CLOEXEC)
    except (OSError, AttributeError) as e:
        yield Finding("memory files", "fail", f"memfd_create: {e}: artifacts cannot be loaded", _memfd_remedy())
        return
    try:
        os.ftruncate(fd, mmap.PAGESIZE)
        why = refusal(fd)
    finally:
        os.close(fd)
    if why is None:
        yield Finding("memory files", "ok", "code can be mapped from memory")
    else:
        yield Finding("memory files", "fail", f"code cannot be mapped from memory ({why}): artifacts cannot be loaded", _memfd_remedy())


def _memfd_remedy() -> str:
    try:
        with open("/proc/sys/vm/memfd_noexec") as f:
            if f.read().strip() != "0":
                return "sysctl vm.memfd_noexec=0"
    except OSError:
        pass
    return security_module() or "Linux 3.17 or later is needed, and a seccomp filter must let memfd_create pass"


def refusal(fd: int) -> str | None:
    """Why the system does not let a file be mapped as code; None where it does."""
    try:
        mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError as e:
        return e.strerror or str(e)
    return None


def security_module() -> str:
    """What to do where a security module may stand in the way; empty where none does."""
    try:
        with open("/sys/fs/selinux/enforce") as f:
            if f.read().strip() == "1":
                return "SELinux is enforcing: look for a denial (ausearch -m avc) and allow execmem or execmod for this domain"
    except OSError:
        pass
    try:
        with open("/proc/self/attr/current") as f:
            profile = f.read().strip("\0\n")
        if profile and profile != "unconfined":
            return f"the profile {profile!r} confines this process: allow it to map files as code (m)"
    except (OSError, ValueError):
        pass
    return ""


def huge_pages() -> Iterator[Finding]:
    """Large buffers want them."""
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


def extras() -> Iterator[Finding]:
    """Packages that Ingot uses, and those that it may use."""
    for package, what in _PACKAGES:
        if not _installed(package):
            yield Finding("extras", "warn", f"{package} is missing ({what})", f"pip install {package}")
    for package, extra, what in _EXTRAS:
        if _installed(package):
            yield Finding("extras", "ok", f"{package} ({what})")
        else:
            yield Finding("extras", "note", f"{package} is not installed ({what})", f"pip install 'ingot[{extra}]'")


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def gpu() -> Iterator[Finding]:
    """The NVIDIA driver, and what it finds; or why GPUs are not used."""
    from ingot.runtime.cuda import driver

    why = driver.reason()
    if why:
        absent = "there is no NVIDIA driver here" in why or "INGOT_CUDA=0" in why
        yield Finding("GPU", "note" if absent else "warn", why)
        return
    from ingot.runtime.cuda.device import device, device_count

    for i in range(device_count()):
        found = device(i)
        free, total = found.pool.info()
        major, minor = found.told.compute_capability()
        text = f"cuda:{i} is {found.told.name()}, capability {major}.{minor}, {output.size(free)} of {output.size(total)} free"
        yield Finding("GPU", "ok", f"{text}; code for {found.level}")
