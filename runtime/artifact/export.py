"""Writing an artifact from a graph, its weights and example inputs. The compiling half: loading needs none of it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.backends import backend
from ingot.ir.parse import parse_size
from ingot.ir.size import Dim, Symbol, as_symbol, evaluate
from ingot.runtime import compiler, memory, threads
from ingot.runtime.artifact import container, host, model, prepared, tensors
from ingot.runtime.executable import Executable
from ingot.runtime.interpreted import Interpreted

if TYPE_CHECKING:
    from ingot.backends import Level
    from ingot.ir.graph import Graph
    from ingot.ir.types import TensorType

__all__ = ["write_artifact"]

# golden outputs: what another CPU may differ by, by the least exact dtype that the graph has
_TOLERANCES = {"bf16": (3e-2, 1e-2), "f16": (5e-3, 1e-3), "f32": (1e-4, 1e-5), "f64": (1e-9, 1e-11), "c64": (1e-4, 1e-5),
               "c128": (1e-9, 1e-11)}  # fmt: skip


def write_artifact(
    path: str | os.PathLike[str],
    graph: Graph,
    feed: Sequence[tuple[str, int | str]],
    weights: Mapping[str, np.ndarray],
    *,
    name: str | None = None,
    in_tree: Any = None,
    out_tree: Any = None,
    inputs: Sequence[tuple[str, TensorType]] | None = None,
    output_names: Sequence[str] | None = None,
    example: Sequence[np.ndarray] | None = None,
    levels: Sequence[Level] | None = None,
) -> None:
    """Compile `graph` for `levels` (this CPU's where None) and write it with its weights as one file.

    The file gets its name when it is whole: every part of it was read again and checked, and where one of the levels
    runs here, loaded.

    feed: where each input of the graph comes from: ("input", i) is the i-th tensor of the caller, ("weight", name)
        one of `weights`.
    inputs: name and type of each tensor of the caller; by default those that are fed.
    in_tree, out_tree: how the caller's tensors are nested (see tree.py); flat by default.
    example: the caller's tensors, for golden samples; None leaves them out. They are made by the best of the levels that
        runs here, or by the interpreter where none does: no code is made for this CPU that was not asked for.

    ValueError where feed and graph do not fit, or a weight's name is no plain one; OSError where the file cannot be
    written (an older one then stays).
    """
    if len(feed) != len(graph.inputs):
        raise ValueError(f"the graph has {len(graph.inputs)} inputs, feed describes {len(feed)}")
    user = list(inputs if inputs is not None else _fed(feed, graph))
    for (kind, which), t in zip(feed, graph.in_types):
        if kind == "weight" and which in weights:
            continue
        if kind != "input" or not isinstance(which, int) or not 0 <= which < len(user) or user[which][1] != t:
            raise ValueError(f"feed names {kind} {which!r}, which is not given, or is no {t}")

    level_list = list(levels or [compiler.host_level()])
    user_types = [t for _, t in user]
    data: Dim = sum(a.nbytes for a in weights.values())
    for t in (*user_types, *graph.out_types):
        data = data + t.nbytes
    missing = [s.name for s in graph.symbols if not any(str(d) == s.name for t in user_types for d in t.shape)]
    if missing:
        raise ValueError(f"the size {missing[0]} is no dim of an input by itself: nothing would say what it is in a call")
    parts: dict[str, Any] = {}
    targets = []
    runs_here: tuple[str, Executable] | None = None  # the best of the levels that does
    left = weights  # that are stored as they are
    kept = frozenset(i for i, (kind, _) in enumerate(feed) if kind == "weight" and i not in graph.scalars)
    for level in level_list:
        steady = graph.replace(steady=kept) if level.name in backend("cpu").levels else graph
        code = compiler.code_of(steady, level, {"name": name or graph.name})
        arch = code.manifest.get("host", level.arch)
        parts[f"code/{level.name}"] = code.so
        parts[f"pool/{arch}"] = compiler.pool_code(arch)
        executable = {k: v for k, v in code.manifest.items() if k not in ("compile_ms", "aliases", "host", "target", "image", "once")}
        here = arch == host.architecture() and not host.missing(list(level.needs))
        stored: dict[str, Any] = {}
        if runs_here is None and here and "device" not in executable:
            runs_here = level.name, Executable(code.so, code.manifest)
            threads.start_pool(parts[f"pool/{arch}"])
            if len(level_list) == 1 and (made := _prepared(runs_here[1], graph, feed, weights)) is not None:
                parts[f"kept/{level.name}"], names = made
                stored = {"prepared": {"part": f"kept/{level.name}", "weights": names}}
                data = data - sum(weights[n].nbytes for n in names)
                left = {n: a for n, a in weights.items() if n not in names}
        assembled: dict[str, str] = {}
        if "device" in executable:
            cubin = backend("cuda").assembled(_image(code), level)  # type: ignore[attr-defined]
            if cubin is not None:
                parts[f"cubin/{level.name}"], by = cubin
                assembled = {"cubin": f"cubin/{level.name}", "assembler": by}
        targets.append(
            {
                "arch": arch,
                "level": level.name,
                "features": list(level.needs),
                "code": f"code/{level.name}",
                "pool": f"pool/{arch}",
                "executable": executable,
                "peak_bytes": _peak(data + executable.get("kept", 0), executable, graph.symbols),
                "worker_bytes": executable["scratch_bytes"],
                **assembled,
                **stored,
            }
        )
    if left:
        parts["weights"] = tensors.pack(left)
    parts["graph"] = graph.text.encode()
    manifest: dict[str, Any] = {
        "name": name or graph.name,
        "producer": _producer(),
        "inputs": [{"name": n, "dtype": t.dtype.name, "shape": _shape(t)} for n, t in user],
        "outputs": [
            {"name": n, "dtype": t.dtype.name, "shape": _shape(t)}
            for n, t in zip(output_names or _output_names(len(graph.outputs)), graph.out_types)
        ],
        "in_tree": in_tree if in_tree is not None else {"tuple": ["*"] * len(user)},
        "out_tree": out_tree if out_tree is not None else ("*" if len(graph.outputs) == 1 else {"tuple": ["*"] * len(graph.outputs)}),
        "feed": [list(f) for f in feed],
        "targets": targets,
    }
    if graph.symbols:
        manifest["symbols"] = targets[0]["executable"]["symbols"]
    if example is not None:
        samples = [np.asarray(a, order="C") for a in example]
        outputs = _run(runs_here[1] if runs_here else Interpreted(graph), graph, feed, weights, samples)
        rtol, atol = _tolerance(graph)
        manifest["golden"] = {"rtol": rtol, "atol": atol, **({"level": runs_here[0]} if runs_here else {})}
        parts["golden"] = tensors.pack(
            {**{f"in.{i}": a for i, a in enumerate(samples)}, **{f"out.{i}": a for i, a in enumerate(outputs)}}
        )  # fmt: skip
    container.write(os.fsdecode(path), manifest, parts, check=_prove)


def _prepared(exe: Executable, graph: Graph, feed: Sequence, weights: Mapping[str, np.ndarray]) -> tuple[list, list[str]] | None:
    """What to store in the place of weights, and which; None where they are stored as they are."""
    once = exe.manifest.get("once")
    if not once:
        return None
    least = {s.name: s.min for s in graph.symbols}
    types = [(t.dtype.numpy, tuple(evaluate(d, least) for d in t.shape)) for t in (*graph.in_types, *graph.out_types)]
    code = prepared.Code(exe.run, exe.slots, feed, types, list(least.values()), exe.manifest["kept"])
    made = prepared.prepare(code, weights, once)
    return None if made is None else ([made[0].data], made[1])


def _image(code: Any) -> bytes:
    """The module of kernels in the code for a GPU."""
    from ingot.runtime.cuda.executable import DeviceExecutable

    return DeviceExecutable(code.so, code.manifest).image(code.manifest["image"])


def _shape(t: TensorType) -> list[int | str]:
    return [d if isinstance(d, int) else str(d) for d in t.shape]


def _peak(data: Dim, executable: dict[str, Any], symbols: Sequence[Symbol]) -> int | str:
    """Memory of one call with one thread: what is given, kept and returned, the arena, and the scratch of the thread."""
    arena, scratch = (parse_size(x, symbols) if isinstance(x, str) else x for x in (executable["arena_bytes"], executable["scratch_bytes"]))
    peak = data + (arena + 63) // 64 * 64 + scratch
    return peak if isinstance(peak, int) else str(peak)


def _prove(c: container.Container) -> None:
    """What we cannot read ourselves, and load for each level that this machine runs, was not exported."""
    for target in model.validate(c).targets:
        if not target.lacks():
            model.Model(c, target)


def _fed(feed: Sequence[tuple[str, int | str]], graph: Graph) -> list[tuple[str, TensorType]]:
    types = {which: t for (kind, which), t in zip(feed, graph.in_types) if kind == "input"}
    return [(f"input{i}", types[i]) for i in range(len(types)) if i in types]


def _run(
    exe: Executable | Interpreted, graph: Graph, feed: Sequence, weights: Mapping[str, np.ndarray], inputs: list[np.ndarray]
) -> list[np.ndarray]:
    slots: list[Any] = []
    keep = []
    extents: dict[str, int] = {}
    for i, (kind, which) in enumerate(feed):
        array = inputs[which] if kind == "input" else weights[which]
        t = graph.in_types[i]
        if array.dtype != t.dtype.numpy or not _matches(array.shape, t.shape, extents):
            raise ValueError(f"{kind} {which!r} is {array.dtype}{list(array.shape)}, the graph expects {t}")
        buffer = memory.from_numpy(array)
        keep.append(buffer)
        slots.append(array.item() if i in graph.scalars else buffer.address)
    outputs = []
    for t in graph.out_types:
        shape = tuple(evaluate(d, extents) for d in t.shape)
        buffer = memory.allocate(math.prod(shape) * t.dtype.itemsize)
        slots.append(buffer.address)
        outputs.append(buffer.array(t.dtype.numpy, shape))
    if isinstance(exe, Executable) and exe.manifest.get("kept"):
        keep.append(memory.unfilled(exe.manifest["kept"]))
        slots.append(keep[-1].address)
    exe.run(*slots, *(extents[s.name] for s in graph.symbols))
    return outputs


def _matches(shape: tuple[int, ...], expected: tuple[Dim, ...], extents: dict[str, int]) -> bool:
    """Whether a shape is what is expected; symbols that were not met before are what they are here."""
    for n, d in zip(shape, expected):
        s = as_symbol(d)
        if s is not None:
            extents.setdefault(s.name, n)
    return len(shape) == len(expected) and all(n == evaluate(d, extents) for n, d in zip(shape, expected))


def _tolerance(graph: Graph) -> tuple[float, float]:
    present = {v.type.dtype.name for n in graph.nodes for v in n.outputs} | {t.dtype.name for t in graph.in_types}
    return next((tol for name, tol in _TOLERANCES.items() if name in present), (0.0, 0.0))


def _output_names(n: int) -> list[str]:
    return ["output"] if n == 1 else [f"output{i}" for i in range(n)]


def _producer() -> str:
    """Who made the file, for people: Ingot, and what compiled it."""
    import llvmlite
    import llvmlite.binding as llvm

    import ingot

    return f"ingot {ingot._VERSION} (llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))})"
