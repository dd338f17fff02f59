"""From a graph to something that runs: memory, then the cache, then the compiler.

    exe = executable(graph)              # compiled, or the interpreter's where INGOT_BACKEND asks for it
    exe.run(*slots)                      # the addresses of the inputs (numbers, for scalar inputs), then of the outputs

Where the cache holds the code, the backend's levels are imported, and neither what lowers and builds nor llvmlite. Where it lacks the
graph and knows its kernels, from whatever graphs, llvmlite is not imported either. What was asked for, found, compiled and refused is
counted in `counts` and `kernel_counts`, told by `INGOT_LOG=cache,compile`, timed by `INGOT_TIME=1` and
written out by `INGOT_DUMP=folder`.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ingot.runtime import log, observe, switches, threads, toolchain
from ingot.runtime.ahead import Ahead
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import key as keys
from ingot.runtime.cache import packaged, the_cache
from ingot.runtime.cache.layer import Found
from ingot.runtime.collector import for_good, paused
from ingot.runtime.executable import Executable
from ingot.runtime.frozen import FrozenError, is_frozen

if TYPE_CHECKING:
    from ingot.backends import Level
    from ingot.ir.graph import Graph, Node

__all__ = ["Code", "code_of", "comes_along", "compiled", "counts", "eager", "executable", "host_level", "kernel_counts", "pool_code"]

counts: Counter[str] = Counter()  # executables by where they came from: memory, cache, compiled, refused, interpreted


class Code:
    """Machine code and how to call it. `so` is the whole shared object."""

    def __init__(self, key: str, so: bytes, manifest: dict[str, Any]):
        self.key, self.so, self.manifest = key, so, manifest


kernel_counts: Counter[str] = Counter()  # kernels of what was compiled: known, compiled


_executables: dict[str, Executable] = {}  # by key, those used last at the end; what falls out is unmapped once nobody has it
_EXECUTABLES = 4096
_busy: dict[str, threading.Lock] = {}  # keys that some thread is looking for
_lock = threading.Lock()
_pool: list[Ahead[bytes]] = []  # the worker pool's code, while it is made
_GRAPH, _QUICK = "graph", "quick"  # kinds of preimages
EAGER = "eager"  # the name of graphs of what is computed outside of compiled functions
_WAIT = 600.0  # seconds that a thread waits for another one's compile before it compiles itself


def executable(graph: Graph, provenance: dict[str, Any] | None = None, device: int | None = None, quick: bool = False) -> Executable:
    """What runs a graph: `compiled`, or the interpreter where INGOT_BACKEND asks for it.

    device: the number of the GPU that it shall run on; its slots are addresses there
    """
    if device is not None:
        return _on_device(graph, provenance, device)
    if switches.get("INGOT_BACKEND") == "interpreter":
        from ingot.runtime.interpreted import Interpreted

        return Interpreted(graph)  # type: ignore[return-value]  # it is called alike
    return compiled(graph, provenance, quick)


def _on_device(graph: Graph, provenance: dict[str, Any] | None, device: int) -> Executable:
    from ingot.backends import backend
    from ingot.runtime.cuda.device import device as device_of

    gpu = device_of(device)
    level = backend("cuda").levels[gpu.level]
    graph = _as_asked(graph, level)
    there: Any = _found(graph, level, provenance)
    if "nan" in switches.get("INGOT_CHECK"):
        return observe.NanCheck(there.on(gpu), graph)  # type: ignore[return-value]  # it is called alike
    return there.on(gpu)  # type: ignore[no-any-return]


def _as_asked(graph: Graph, level: Level) -> Graph:
    """The graph, for a GPU with products of the precision that is set now."""
    from ingot.ir.precision import rounds

    if not level.machine.shared_bytes or not rounds():
        return graph
    from ingot.ir.passes.rounded import rounded

    return rounded(graph)


def eager(graph: Graph, device: int | None = None, quick: bool = False) -> Executable:
    """What runs operations that stand outside of compiled functions: `executable`; where compiling is refused the interpreter, if
    NumPy gives the result that code would. FrozenError, with the line of what it does not compute alike, where it would not.
    """
    if device is not None:
        return _on_device(graph, None, device)
    if not is_frozen():
        return executable(graph, quick=quick)
    from ingot.runtime.interpreted import UntilThawed, inexact

    decisive = inexact(graph)
    try:
        return executable(graph, None if decisive is None else _place(decisive), quick=quick)
    except FrozenError:
        if decisive is not None:
            raise
        counts["interpreted"] += 1
        log.log("cache", "%s is interpreted, since compiling is frozen", graph.name)
        return UntilThawed(graph, executable)  # type: ignore[return-value]  # it is called alike


def compiled(graph: Graph, provenance: dict[str, Any] | None = None, quick: bool = False) -> Executable:
    """The executable of a graph, compiled if need be. Its argument slots are the graph's inputs, then its outputs, then the
    values of its symbols.

    provenance: what to tell people of it (name, file, line, signature); no part of the key.
    quick: code that is made sooner, and takes longer, will do: the same bits come of it. The other is taken where it is known.
    FrozenError where compiling is refused; RuntimeError where llvmlite is needed and missing.
    """
    found = _found(graph, host_level(), provenance, quick)
    if "nan" in switches.get("INGOT_CHECK"):
        return observe.NanCheck(found, graph)  # type: ignore[return-value]  # it is called alike
    return found


def _found(graph: Graph, level: Level, provenance: dict[str, Any] | None, quick: bool = False) -> Executable:
    """The executable of a graph for a level, from memory, the cache or the compiler."""
    preimage = _preimage(graph, level, quick)
    key = keys.key_of(preimage)
    if quick and not _is_known(key):
        preimage = _preimage(graph, level)
        key = keys.key_of(preimage)
        if not _is_known(key):
            preimage = _preimage(graph, level, quick)
            key = keys.key_of(preimage)
    found = _executables.get(key)
    if found is not None:
        counts["memory"] += 1
        _executables[key] = _executables.pop(key, found)
    else:
        with _alone(key):
            found = _executables.get(key)
            if found is None:
                found = _executables[key] = _load(key, preimage, graph, level, provenance)
                while len(_executables) > _EXECUTABLES:
                    _executables.pop(next(iter(_executables)), None)
    return found


def comes_along(graph: Graph, quick: bool = False) -> bool:
    """Whether the package has the code of a graph, made the quick way if that is asked for."""
    if switches.get("INGOT_BACKEND") == "interpreter" or not packaged.samples():
        return False
    return packaged.has(keys.key_of(_preimage(graph, host_level(), quick)))


def code_of(graph: Graph, level: Level | None = None, provenance: dict[str, Any] | None = None, quick: bool = False) -> Code:
    """The machine code of a graph for `level` (this CPU's where None), from the cache or compiled; nothing is loaded."""
    level = level or host_level()
    graph = _as_asked(graph, level)
    preimage = _preimage(graph, level, quick)
    key = keys.key_of(preimage)
    found = the_cache().lookup(key)
    if found is None:
        made = _compile_once(key, preimage, graph, level, provenance)
        if isinstance(made, Code):
            return made
        found = made
    found.close()
    return Code(key, bytes(found.entry.code), found.entry.manifest)


def pool_code(arch: str | None = None) -> bytes:
    """The shared object of the worker pool for `arch` (this machine's where None), from the cache or compiled."""
    arch = arch or os.uname().machine
    preimage = _pool_preimage(arch)
    key = keys.key_of(preimage)
    found = the_cache().lookup(key)
    if found is not None:
        found.close()
        return bytes(found.entry.code)
    _refuse_if_frozen("worker pool", key, preimage, {})
    if _pool_toolchain_wrong(arch):
        return pool_code(arch)
    the_cache().record_miss(key, {"name": "worker pool", "target": arch}, preimage)
    from ingot.backends import backend

    times: dict[str, float] = {}
    with log.timed("pool", times):
        so = backend("cpu").build_pool(arch).code
    _put(key, so, {}, preimage, {"name": "worker pool", "target": arch}, times, {})
    return so


def _begin_pool() -> None:
    """Have the worker pool compiled meanwhile, where this process has none yet, nor the cache."""
    if threads.pool_loaded() or _pool:
        return
    preimage = _pool_preimage(os.uname().machine)
    found = the_cache().lookup(keys.key_of(preimage))
    if found is not None:
        found.close()
        return
    if _pool_toolchain_wrong(os.uname().machine):
        raise _OtherToolchain
    _pool.append(Ahead(pool_code))


def _pool_toolchain_wrong(arch: str) -> bool:
    """Whether LLVM is needed for the worker pool, and is another than was noted."""
    from ingot.backends import backend

    return not backend("cpu").pool_is_ready(arch) and toolchain.correct()


def _pool_preimage(arch: str) -> bytes:
    return keys.preimage("pool", "", {"arch": arch}, toolchain.versions(), {})  # its text is among the sources that the key covers


# -- the steps -------------------------------------------------------------------------------------------------------


def _load(key: str, preimage: bytes, graph: Graph, level: Level, provenance: dict[str, Any] | None) -> Executable:
    found: Found | Code | None = the_cache().lookup(key)
    exe = None
    while exe is None:
        found = found or _compile_once(key, preimage, graph, level, provenance, to_run=True)
        if isinstance(found, Code):
            exe = _executable(found.so, found.manifest)
        elif (exe := _map(found)) is not None:
            counts["cache"] += 1
        else:  # whole by its checksums, and yet no code: this layer is not asked again
            the_cache().reject(key)
            found = None
    if not threads.pool_loaded() and not exe.manifest.get("device"):
        ahead = _pool.pop() if _pool else None
        threads.start_pool(pool_code() if ahead is None else ahead.result())
    exe.title, exe.key = _title(graph), key
    return exe


def _executable(source: Any, manifest: dict[str, Any]) -> Executable:
    if manifest.get("device") == "cuda":
        from ingot.runtime.cuda.executable import DeviceExecutable

        return DeviceExecutable(source, manifest)
    return Executable(source, manifest)


def _title(graph: Graph) -> str:
    """A graph by its name and its operations, the most frequent first."""
    ops = Counter(n.attrs[0].name if n.op.name == "call" else n.op.name for n in graph.nodes if n.op.name != "constant")
    named = [name if count == 1 else f"{count} {name}" for name, count in sorted(ops.items(), key=lambda o: o[1], reverse=True)[:6]]
    return f"{graph.name}: {', '.join(named)}{', ...' if len(ops) > 6 else ''}"


def _map(found: Found) -> Executable | None:
    """The executable of a stored entry, mapped from the descriptor it was verified on; None where that is impossible."""
    try:
        manifest = found.entry.manifest
        if found.fd is not None:
            try:
                return _executable(found.fd, manifest)
            except OSError:  # a file system that does not let code be mapped: map a copy in memory
                pass
        return _executable(found.entry.code, manifest)
    except (OSError, AttributeError, LookupError, TypeError, ValueError) as e:
        log.log("cache", "%s cannot be loaded: %s: %s", found.entry.key[:12], type(e).__name__, e)
        return None
    finally:
        found.close()


def _compile_once(
    key: str, preimage: bytes, graph: Graph, level: Level, provenance: dict[str, Any] | None, to_run: bool = False
) -> Code | Found:
    """Compile what the cache lacks, or find what another process has compiled meanwhile.

    to_run: it will run here, on the worker pool, which is compiled meanwhile where need be
    """
    provenance = {"name": graph.name, **_place(*graph.nodes), **(provenance or {}), "signature": _signature(graph), "target": level.name}
    the_cache().record_miss(key, provenance, preimage)
    _refuse_if_frozen(graph.name, key, preimage, provenance)
    while True:
        try:
            with the_cache().claimed(key) as again, paused():
                found = the_cache().lookup(key) if again else None
                if to_run and found is None and level.arch != "nvptx64":
                    _begin_pool()
                return found or _compile(key, preimage, graph, level, provenance)
        except _OtherToolchain:
            preimage = _preimage(graph, level, json.loads(preimage)["kind"] == _QUICK)
            key = keys.key_of(preimage)


class _OtherToolchain(Exception):
    """The noted version of LLVM was not the real one, which keys name from now on."""


def _compile(key: str, preimage: bytes, graph: Graph, level: Level, provenance: dict[str, Any]) -> Code:
    times: dict[str, float] = {}
    watch = observe.watch(graph)
    with log.timed("import", times):  # is no part of what compiling the graph costs
        from ingot.backends import backend
        from ingot.runtime.cache import pieces

        target = backend(level.name)
        with for_good():
            target.load()
    llvm: dict[str, float] = {"llvm": 0.0}  # to import it

    def about_to_make() -> None:
        with log.timed("llvm", llvm):
            if toolchain.correct():
                raise _OtherToolchain

    kernels = pieces.Pieces(json.loads(preimage), about_to_make)
    quick = json.loads(preimage)["kind"] == _QUICK
    cpu = backend("cpu")
    try:
        with log.timed("lower", times):  # what is known of the kernels is compiled meanwhile
            program = cpu.lower(graph, level, watch, kernels.begin, quick) if target is cpu else target.lower(graph, level, watch)
        observe.tell_fusion(program)
        times["lower"] -= llvm["llvm"]
        times["import"] += llvm["llvm"]
        llvm["llvm"] = 0.0
        with log.timed("codegen", times):
            built = cpu.build(program, level, kernels, quick) if target is cpu else target.build(program, level, kernels)
        times["import"] += llvm["llvm"]
        times["codegen"] -= llvm["llvm"]
    finally:
        kernels.close()
    from ingot.ir.loop.text import print_program

    texts = {"graph": str(graph), "program": print_program(program)}
    if "sha256:" in graph.text:  # large constants stand in the preimage by their digests
        from ingot.ir.text import print_graph

        texts["payloads"] = print_graph(graph, payloads=True)
    if watch is not None and switches.get("INGOT_DUMP"):
        observe.dump(key, graph.name, watch, target.llvm(program, level), built.code)
    if any(t.dtype.kind == "c" for t in (*graph.in_types, *graph.out_types)):  # to the code they are pairs of reals
        built.manifest.update(inputs=list(map(str, graph.in_types)), outputs=list(map(str, graph.out_types)))
    counted = {"known": kernels.known, "compiled": kernels.compiled}
    if kernels.packaged:
        counted["packaged"] = kernels.packaged
    if _put(key, built.code, built.manifest, preimage, {**provenance, "kernels": counted}, times, texts):
        pieces.remember(the_cache().own, key, kernels.ids)
    counts["compiled"] += 1
    kernel_counts.update(counted)
    took = ", ".join(f"{k} {v:.1f} ms" for k, v in times.items())
    log.log("compile", "%s %s: %s; %d kernels known, %d compiled", graph.name, key[:12], took, kernels.known, kernels.compiled)
    return Code(key, built.code, built.manifest)


def _put(key: str, so: bytes, manifest: dict, preimage: bytes, provenance: dict, times: dict[str, float], texts: dict[str, str]) -> bool:
    """Store an entry; whether it is on the disk."""
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
        return the_cache().put(key, entry_format.pack(key, so, manifest, record, preimage, texts), ms)


def _refuse_if_frozen(name: str, key: str, preimage: bytes, provenance: dict[str, Any]) -> None:
    if not is_frozen():
        return
    counts["refused"] += 1
    from ingot.runtime.cache import explain

    why = explain.in_words(the_cache().layers, key, json.loads(preimage), name, provenance.get("signature", ""))
    where = f" ({provenance['file']}:{provenance['line']})" if "file" in provenance else ""
    what = f"{name}{where}"
    if name == EAGER:
        what = f"What is computed outside of compiled functions{where}"
        why = f"{why}. It is other code than that of a function that was warmed: compute it within one"
    raise FrozenError(
        f"{what} would have to be compiled, and compiling is frozen: {why}. To have it in the cache, run it once without "
        f"frozen (or `ingot cache warm`); more: ingot cache explain {key[:12]}",
        key,
    )


def host_level() -> Level:
    """The level that code is made for: this CPU's best, within INGOT_CPU_LEVEL."""
    limit = switches.get("INGOT_CPU_LEVEL")
    found = _levels.get(limit)
    if found is None:
        from ingot.backends import backend

        try:
            found = _levels[limit] = backend("cpu").host_level(limit)
        except ValueError as e:
            raise switches.SwitchError(f"INGOT_CPU_LEVEL: {e}") from None
    return found


_levels: dict[str | None, Level] = {}


def _preimage(graph: Graph, level: Level, quick: bool = False) -> bytes:
    assumed = level.assumptions()
    if level.arch == "nvptx64":
        assumed["host"] = platform.machine()  # whose code launches
    kind = _GRAPH
    if quick:
        from ingot.backends import backend

        kind = _QUICK if backend("cpu").has_quick(level) else _GRAPH
    return keys.preimage(kind, graph.text, assumed, toolchain.versions(), switches.code_options())


def _is_known(key: str) -> bool:
    """Whether there is code for a key, in this process or in the cache."""
    if key in _executables:
        return True
    found = the_cache().lookup(key)
    if found is not None:
        found.close()
    return found is not None


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
    _pool.clear()


os.register_at_fork(after_in_child=_after_fork)


# -- manifests and texts ---------------------------------------------------------------------------------------------


def _place(*nodes: Node) -> dict[str, Any]:
    """Where the first of the nodes was recorded, for people."""
    from ingot.ir.location import resolve

    for n in nodes:
        if n.loc is not None:
            source = resolve(n.loc)
            return {"file": source.file, "line": source.line}
    return {}


def _signature(graph: Graph) -> str:
    args = ", ".join(f"{n}: {t}" for n, t in zip(graph.input_names, graph.in_types))
    return f"({args}) -> ({', '.join(map(str, graph.out_types))})"
