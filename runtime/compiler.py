"""From a graph to something that runs: memory, then the cache, then the compiler.

    exe = executable(graph)              # runtime.executable.Executable
    exe.run(*slots)

`ingot.ir.lower`, `ingot.backends` and llvmlite are imported only where the cache holds no code. What was asked for,
found, compiled and refused is counted in `counts`, told by `INGOT_LOG=cache,compile`, timed by `INGOT_TIME=1` and
written out by `INGOT_DUMP=folder`.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ingot.runtime import log, observe, switches, threads
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import key as keys
from ingot.runtime.cache import the_cache
from ingot.runtime.executable import Executable

if TYPE_CHECKING:
    from ingot.backends.cpu.level import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program

__all__ = ["Code", "FrozenError", "code_of", "counts", "executable", "frozen", "host_level", "pool_code", "target_of"]

counts: Counter[str] = Counter()  # executables by where they came from: memory, cache, compiled, refused


class FrozenError(RuntimeError):
    """Something would have to be compiled where that was forbidden."""


class Code(NamedTuple):
    """Machine code and how to call it. `so` is the whole shared object."""

    key: str
    so: bytes
    manifest: dict[str, Any]


_frozen: contextvars.ContextVar[bool] = contextvars.ContextVar("ingot_frozen", default=False)
_executables: dict[str, Executable] = {}  # by key; the code stays mapped as long as the process lives
_pool: list[bool] = []  # not empty once the worker pool's code is loaded
_busy: dict[str, threading.Lock] = {}  # keys that some thread is looking for
_lock = threading.Lock()
_WAIT = 600.0  # seconds that a thread waits for another one's compile before it compiles itself


@contextlib.contextmanager
def frozen(on: bool = True) -> Iterator[None]:
    """Refuse to compile within the block: code that the cache does not hold raises FrozenError.

    >>> with compiler.frozen():
    ...     model(x)
    """
    token = _frozen.set(on)
    try:
        yield
    finally:
        _frozen.reset(token)


def executable(graph: Graph, provenance: dict[str, Any] | None = None) -> Executable:
    """The executable of a graph, compiled if need be. Its argument slots are the graph's inputs, then its outputs.

    provenance: what to tell people of it (name, file, line, signature); no part of the key.
    FrozenError where compiling is refused; RuntimeError where llvmlite is needed and missing.
    """
    level = host_level()
    preimage = _preimage("graph", graph.text, level)
    key = keys.key_of(preimage)
    found = _executables.get(key)
    if found is not None:
        counts["memory"] += 1
    else:
        with _alone(key):
            found = _executables.get(key)
            if found is None:
                found = _executables[key] = _load(key, preimage, graph, level, provenance)
    if "nan" in switches.get("INGOT_CHECK"):
        return observe.NanCheck(found, graph)  # type: ignore[return-value]  # it is called alike
    return found


def code_of(graph: Graph, level: Level | None = None, provenance: dict[str, Any] | None = None) -> Code:
    """The machine code of a graph for `level` (this CPU's where None), from the cache or compiled; nothing is loaded."""
    level = level or host_level()
    preimage = _preimage("graph", graph.text, level)
    key = keys.key_of(preimage)
    found = the_cache().lookup(key)
    if found is not None:
        found.close()
        return Code(key, bytes(found.entry.code), found.entry.manifest)
    return _compile(key, preimage, graph, level, provenance)


def pool_code(arch: str | None = None) -> bytes:
    """The shared object of the worker pool for `arch` (this machine's where None), from the cache or compiled."""
    arch = arch or os.uname().machine
    preimage = keys.preimage("pool", "", {"arch": arch}, _toolchain(), {})  # its text is among the sources that the key covers
    key = keys.key_of(preimage)
    found = the_cache().lookup(key)
    if found is not None:
        found.close()
        return bytes(found.entry.code)
    _refuse_if_frozen("the worker pool", key)
    if _correct_toolchain():
        return pool_code(arch)
    the_cache().record_miss(key, {"name": "worker pool", "target": arch}, preimage)
    from ingot.backends.cpu import pool

    times: dict[str, float] = {}
    with log.timed("pool", times):
        so = pool.build(arch)
    _put(key, so, {}, preimage, {"name": "worker pool", "target": arch}, times, {})
    return so


def target_of(level: Level) -> dict[str, Any]:
    """What the code may assume of the machine: the level's fields, but for what a host must have (`needs`)."""
    return {field: getattr(level, field) for field in level.__slots__ if field != "needs"}


# -- the steps -------------------------------------------------------------------------------------------------------


def _load(key: str, preimage: bytes, graph: Graph, level: Level, provenance: dict[str, Any] | None) -> Executable:
    found = the_cache().lookup(key)
    if found is None:
        code = _compile(key, preimage, graph, level, provenance)
        exe = Executable(code.so, _at_graph(code.manifest, graph))
    else:
        counts["cache"] += 1
        manifest = _at_graph(found.entry.manifest, graph)
        try:
            try:
                exe = Executable(found.entry.code if found.fd is None else found.fd, manifest)
            except OSError:  # a file system that does not let code be mapped: map a copy in memory
                exe = Executable(found.entry.code, manifest)
        finally:
            found.close()
    if not _pool:
        threads.start_pool(pool_code())
        _pool.append(True)
    return exe


def _compile(key: str, preimage: bytes, graph: Graph, level: Level, provenance: dict[str, Any] | None) -> Code:
    provenance = {"name": graph.name, **_place(graph), **(provenance or {}), "signature": _signature(graph), "target": level.name}
    _refuse_if_frozen(graph.name, key)
    if _correct_toolchain():
        preimage = _preimage("graph", graph.text, level)
        key = keys.key_of(preimage)
    the_cache().record_miss(key, provenance, preimage)
    times: dict[str, float] = {}
    with log.timed("import", times):
        from ingot.backends import cpu
        from ingot.ir.lower import lower
    stages = observe.before_lowering(graph)
    with log.timed("lower", times):
        program = lower(graph, lanes=level.lanes(32))
    observe.after_lowering(program)
    with log.timed("codegen", times):
        built = cpu.build(program, level)
    manifest = _manifest(graph, program, built)
    texts = {"graph": str(graph), "program": observe.program_text(program)}
    if switches.get("INGOT_DUMP"):
        observe.dump(key, graph.name, {"graph": texts["graph"], **stages, "program": texts["program"], "llvm": built.llvm}, built.so)
    _put(key, built.so, manifest, preimage, provenance, times, texts)
    counts["compiled"] += 1
    log.log("compile", "%s %s: %s", graph.name, key[:12], ", ".join(f"{k} {v:.1f} ms" for k, v in times.items()))
    return Code(key, built.so, manifest)


def _put(key: str, so: bytes, manifest: dict, preimage: bytes, provenance: dict, times: dict[str, float], texts: dict[str, str]) -> None:
    ms = sum(v for k, v in times.items() if k != "import")
    manifest["compile_ms"] = round(ms, 3)
    record = {
        **provenance,
        "compile_ms": round(ms, 3),
        "times": {k: round(v, 3) for k, v in times.items()},
        "code_bytes": len(so),
        "created": round(time.time(), 3),
    }
    with log.timed("store"):
        the_cache().put(key, entry_format.pack(key, so, manifest, record, preimage, texts), ms)


def _refuse_if_frozen(name: str, key: str) -> None:
    if _frozen.get() or switches.get("INGOT_FROZEN"):
        counts["refused"] += 1
        raise FrozenError(f"{name} is not in the cache ({key[:12]}) and compiling is frozen; see: ingot cache explain {name}")


def host_level() -> Level:
    """The level that code is made for: this CPU's best, within INGOT_CPU_LEVEL."""
    limit = switches.get("INGOT_CPU_LEVEL")
    found = _levels.get(limit)
    if found is None:
        from ingot.backends.cpu import level

        try:
            found = _levels[limit] = level.host_level(limit)
        except ValueError as e:
            raise switches.SwitchError(f"INGOT_CPU_LEVEL: {e}") from None
    return found


_levels: dict[str | None, Level] = {}


def _preimage(kind: str, text: str, level: Level) -> bytes:
    return keys.preimage(kind, text, target_of(level), _toolchain(), switches.code_options())


def _toolchain() -> dict[str, str]:
    """The versions of llvmlite and LLVM.

    Only llvmlite itself knows its LLVM's, and to import it costs more than all the rest of a warm start. So the cache
    folder notes which LLVM each llvmlite had. A note that is wrong here is harmless: entries are stored under the
    version that made them, so what is found under another one was made by that one.
    """
    version = keys.llvmlite_version()
    if version is None:
        return {"llvmlite": "none", "llvm": "none"}
    found = _llvm.get(version)
    if found is None:
        found = the_cache().note("toolchain").get(version)
        if not isinstance(found, str):
            found = _llvm_version()
            the_cache().set_note("toolchain", {**the_cache().note("toolchain"), version: found})
        _llvm[version] = found
    return {"llvmlite": version, "llvm": found}


_llvm: dict[str, str] = {}  # LLVM's version by llvmlite's


def _correct_toolchain() -> bool:
    """Before anything is compiled: whether the noted LLVM was not the real one (and is corrected now)."""
    version, actual = keys.llvmlite_version() or "none", _llvm_version()
    if _llvm.get(version) == actual:
        return False
    _llvm[version] = actual
    the_cache().set_note("toolchain", {**the_cache().note("toolchain"), version: actual})
    return True


def _llvm_version() -> str:
    try:
        import llvmlite.binding as llvm
    except ImportError as e:
        raise RuntimeError(f"this must be compiled, and llvmlite cannot be imported ({e}); pip install llvmlite") from None
    return ".".join(map(str, llvm.llvm_version_info))


@contextlib.contextmanager
def _alone(key: str) -> Iterator[None]:
    """One thread at a time per key; others wait, but not for ever."""
    with _lock:
        lock = _busy.setdefault(key, threading.Lock())
    got = lock.acquire(timeout=_WAIT)
    try:
        yield
    finally:
        if got:
            lock.release()
        with _lock:
            _busy.pop(key, None)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _busy.clear()


os.register_at_fork(after_in_child=_after_fork)


# -- manifests and texts ---------------------------------------------------------------------------------------------


def _manifest(graph: Graph, program: Program, built: Any) -> dict[str, Any]:
    """How to call the code: see runtime/executable.py. A check's `node` is its place in the graph, `location` comes later."""
    where: dict[Any, int] = {}
    for i, n in enumerate(graph.nodes):
        where.setdefault(n.loc, i)
    ins, outs = program.in_types, program.out_types
    nbytes = sum(t.nbytes for t in (*ins, *outs)) + built.arena_bytes
    return {
        "entry": built.entry,
        "slots": [t.dtype.name if i in program.scalars else "address" for i, t in enumerate(ins)] + ["address"] * len(outs),
        "arena_bytes": built.arena_bytes,
        "scratch_bytes": built.scratch_bytes,
        "checks": {
            str(code): {"message": message, **({"node": where[loc]} if loc is not None and loc in where else {})}
            for code, (message, loc) in sorted(program.checks.items())
        },
        "aliases": {str(o): list(i) for o, i in sorted(program.aliases.items())},
        "inputs": [str(t) for t in ins],
        "outputs": [str(t) for t in outs],
        "tiny": nbytes <= 16 << 10 and all(type(s).__name__ != "Repeat" for s in program.steps),
    }


class _Where:
    """A location that is resolved when somebody prints it."""

    def __init__(self, loc: Any):
        self.loc = loc

    def __str__(self) -> str:
        from ingot.ir.location import resolve

        source = resolve(self.loc)
        return "\n".join(filter(None, (f"{source} in {source.function}", source.snippet())))


def _at_graph(manifest: dict[str, Any], graph: Graph) -> dict[str, Any]:
    """The manifest with the checks' locations in this very graph: the same code may come from many lines."""
    checks = {}
    for code, check in manifest.get("checks", {}).items():
        node = check.get("node")
        loc = graph.nodes[node].loc if isinstance(node, int) and node < len(graph.nodes) else None
        checks[code] = {"message": check["message"], "location": _Where(loc) if loc is not None else None}
    return {**manifest, "checks": checks}


def _place(graph: Graph) -> dict[str, Any]:
    """Where the graph's first node was recorded, for people."""
    from ingot.ir.location import resolve

    for n in graph.nodes:
        if n.loc is not None:
            source = resolve(n.loc)
            return {"file": source.file, "line": source.line}
    return {}


def _signature(graph: Graph) -> str:
    args = ", ".join(f"{n}: {t}" for n, t in zip(graph.input_names, graph.in_types))
    return f"({args}) -> ({', '.join(map(str, graph.out_types))})"
