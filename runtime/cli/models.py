"""`ingot import`, `compile` and `export`: models of other frameworks made into artifacts, compiled beforehand, and written."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ingot.runtime.cli import call_spec, output, targets
from ingot.runtime.cli.output import EXIT, CommandError

__all__ = ["add_to", "inspect", "kind_of"]

_KINDS = {".onnx": "onnx", ".mlir": "stablehlo", ".stablehlo": "stablehlo", ".bc": "stablehlo"}  # by a file's ending
_FILE = "a file of ONNX (.onnx) or StableHLO (.mlir, .stablehlo, .bc)"


def add_to(verb: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add the verbs to the parser; `verb(verbs, name, help, example, run)` makes one."""
    example = "ingot import model.onnx -o model.ingot --dim batch=8"
    p = verb(verbs, "import", "make an artifact of an ONNX or StableHLO file", example, _import, json=True)
    p.add_argument("file", metavar="FILE", help=_FILE)
    p.add_argument("-o", "--output", metavar="FILE", help="the artifact (default: FILE with the ending .ingot)")
    _dims(p, ranges=True)
    p.add_argument(
        "--target", action="append", default=[], metavar="LEVEL",
        help="a level of CPUs or GPUs to compile for, this CPU's if none (may be given again)",
    )
    example = "ingot compile model.onnx --dim batch=8"
    p = verb(verbs, "compile", "compile an ONNX or StableHLO file into the cache", example, _compile, json=True)
    p.add_argument("file", metavar="FILE", help=_FILE)
    _dims(p)
    example = "ingot export 'app:net(f32[1,784])' --onnx net.onnx"
    p = verb(verbs, "export", "write a function or model of your code", example, _export, json=True)
    p.add_argument("spec", metavar="SPEC", help="package.module:attribute(f32[32,784], …), as `ingot cache warm` takes it")
    p.add_argument("--onnx", metavar="FILE", help="write an ONNX file")
    p.add_argument("--stablehlo", metavar="FILE", help="write a StableHLO program, as text")
    p.add_argument("-o", "--output", metavar="FILE", help="write an artifact")
    p.add_argument("--opset", type=int, metavar="N", default=None, help="ONNX's op set (20)")


def _dims(p: argparse.ArgumentParser, ranges: bool = False) -> None:
    what = "what a named dim is; INPUT.AXIS names one that has no name"
    more = "; LOW..HIGH leaves it open, HIGH may be left out" if ranges else ""
    p.add_argument("--dim", action="append", default=[], metavar="NAME=N", help=what + more)


def kind_of(path: str) -> str:
    """What a file's name says that it is: "onnx", "stablehlo", or nothing."""
    return _KINDS.get(os.path.splitext(path)[1], "")


def _load(path: str) -> Any:
    import ingot

    try:
        return ingot.stablehlo.load(Path(path)) if kind_of(path) == "stablehlo" else ingot.onnx.load(path)
    except (ValueError, RuntimeError) as e:
        raise CommandError(_told(path, e), "finding") from None


def _told(path: str, e: Exception) -> str:
    """What is wrong with a file. One that is no message at all may be of another format."""
    return f"{path}: no ONNX file, or a damaged one: {e}" if type(e).__name__ == "WireError" else f"{path}: {e}"


_RANGE = re.compile(r"(\d+)(?:(\.\.)(\d*))?")


def _given(texts: list[str], ranges: bool) -> dict[str, tuple[int, int | None]]:
    """What `--dim` says: by name, the least and the greatest extent, None for no bound. CommandError for what is no such thing."""
    out: dict[str, tuple[int, int | None]] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        m = _RANGE.fullmatch(number)
        if not name or m is None or m[2] and not ranges:
            raise CommandError(f"--dim {text}: expected NAME=N{' or NAME=LOW..HIGH' if ranges else ''}")
        low = int(m[1])
        high = low if not m[2] else int(m[3]) if m[3] else None
        if high is not None and high < low:
            raise CommandError(f"--dim {text}: {high} is less than {low}")
        out[name] = (low, high)
    return out


def _zeros(model: Any, texts: list[str], ranges: bool = False) -> tuple[list[np.ndarray], tuple[Any, ...] | None]:
    """Inputs of zeros, in the shapes that the file and `--dim` say, and which dims of them stay open, as `ingot.export` takes them.

    CommandError for dims that are not said, or that there are none of.
    """
    import ingot

    dims = _given(texts, ranges)
    missing, used, out = [], set(), []
    free: dict[str, Any] = {}
    shapes: list[dict[int, Any] | None] = []
    for i in model.inputs:
        if i.dtype is None or i.dims is None:
            raise CommandError(f"the file does not say what type and rank the input {i.name!r} has", "finding")
        shape, left = [], {}
        for axis, d in enumerate(i.dims):
            name = d if isinstance(d, str) else f"{i.name}.{axis}"
            if not isinstance(d, int):
                used.add(name)
                if name not in dims:
                    missing.append(name)
                low, high = dims.get(name, (1, 1))
                d = low
                if high != low:
                    d = max(low, 2) if high is None else min(max(low, 2), high)
                    own = re.sub(r"\W", "_", name)
                    left[axis] = free.setdefault(name, ingot.Dim(own, min=low, max=high))
            shape.append(d)
        out.append(np.zeros(shape, i.dtype))
        shapes.append(left or None)
    if missing:
        raise CommandError(f"say what these dims are: {' '.join(f'--dim {n}=…' for n in dict.fromkeys(missing))}")
    unknown = dims.keys() - used
    if unknown:
        raise CommandError(f"--dim {min(unknown)}: there is no such dim; there are {', '.join(sorted(used)) or 'none'}")
    return out, tuple(shapes) if free else None


def _import(args: argparse.Namespace) -> int:
    import ingot

    model = _load(args.file)
    levels = [targets.check_level(name) for name in args.target] or None
    to = args.output or f"{os.path.splitext(args.file)[0]}.ingot"
    inputs, shapes = _zeros(model, args.dim, ranges=True)
    if model.parts is not None:
        raise CommandError(f"{args.file}: {model.parts}: it has no artifact", "finding")
    try:
        ingot.export(model.eval(), tuple(inputs), to, targets=levels, dynamic_shapes=shapes)
    except (RuntimeError, ValueError) as e:
        raise CommandError(f"{args.file}: {e}", "finding") from None
    return _written("import", to, args.json)


def _written(kind: str, to: str, as_json: bool) -> int:
    if as_json:
        output.document(kind, file=to, bytes=os.path.getsize(to))
    else:
        print(f"{to}: {output.size(os.path.getsize(to))}")
    return EXIT["fine"]


def _compile(args: argparse.Namespace) -> int:
    model = _load(args.file)
    inputs, _ = _zeros(model, args.dim)
    start = time.perf_counter()
    try:
        if kind_of(args.file) == "stablehlo":
            model.run(*inputs)
        else:
            model.run(dict(zip(model.input_names, inputs)))
    except RuntimeError as e:
        raise CommandError(f"{args.file}: {e}", "finding") from None
    ms = (time.perf_counter() - start) * 1e3
    if args.json:
        output.document("compile", file=args.file, ms=round(ms, 3), parts=model.parts)
    else:
        how = "" if model.parts is None else f", in parts: {model.parts}"
        print(f"{args.file}: compiled and run once in {output.duration(ms)}{how}")
    return EXIT["fine"]


def _export(args: argparse.Namespace) -> int:
    import ingot
    from ingot.runtime.cli.warm_worker import filled, found

    to = [f for f in (args.onnx, args.stablehlo, args.output) if f is not None]
    if len(to) != 1:
        raise CommandError("say what to write: --onnx FILE, --stablehlo FILE, or -o FILE for an artifact")
    spec = call_spec.parse(args.spec)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        target, given = found(spec), filled(spec.args)
        if args.onnx is not None:
            ingot.onnx.export(target, given, args.onnx, kwargs=filled(spec.kwargs), opset_version=args.opset)
        elif args.stablehlo is not None:
            ingot.stablehlo.export(target, given, args.stablehlo, kwargs=filled(spec.kwargs))
        elif spec.kwargs:
            raise CommandError("an artifact's arguments have places, not names")
        else:
            ingot.export(target, given, args.output)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as e:
        raise CommandError(f"{spec.text}: {e}", "finding") from None
    return _written("export", to[0], args.json)


def inspect(path: str, as_json: bool) -> int:
    """Print what an ONNX or StableHLO file holds."""
    return _inspect_stablehlo(path, as_json) if kind_of(path) == "stablehlo" else _inspect_onnx(path, as_json)


def _inspect_stablehlo(path: str, as_json: bool) -> int:
    from ingot.interchange.stablehlo.model import parsed

    try:
        module = parsed(Path(path))
    except ValueError as e:
        raise CommandError(f"{path}: {e}", "finding") from None
    f = module.main
    ops = Counter(o.name for o in module.operations() if o.name != "return")
    calls = Counter(str(o.attrs["call_target_name"]) for o in module.operations() if o.name == "custom_call")
    facts: dict[str, Any] = {
        "file": path, "bytes": os.path.getsize(path), "function": f.name, "inputs": [str(t) for t in f.inputs],
        "outputs": [str(t) for t in f.outputs], "functions": list(module.functions), "operations": sum(ops.values()),
        "ops": dict(ops.most_common()), "calls": dict(calls.most_common()),
    }  # fmt: skip
    if as_json:
        output.document("stablehlo", **facts)
        return EXIT["fine"]
    print(f"{path}: {output.size(facts['bytes'])}, @{f.name} of {len(module.functions)} functions")
    for title, types in (("input", f.inputs), ("output", f.outputs)):
        for t in types:
            print(f"  {title:<7} {t}")
    print(f"  ops     {facts['operations']}: {', '.join(f'{n} {op}' for op, n in ops.most_common())}")
    if calls:
        print(f"  calls   {', '.join(f'{n} {name}' for name, n in calls.most_common())}")
    return EXIT["fine"]


def _inspect_onnx(path: str, as_json: bool) -> int:
    from ingot.interchange.onnx.messages import ModelProto
    from ingot.interchange.onnx.program import declared
    from ingot.interchange.onnx.wire import WireError, decode

    try:
        with open(path, "rb") as f:
            m = decode(ModelProto, f.read())
        if m.graph is None:
            raise WireError("it has no graph")
        inputs, outputs = declared(m)
    except ValueError as e:
        raise CommandError(_told(path, e), "finding") from None
    ops = Counter(f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in m.graph.node)
    sizes = [(int(np.prod(t.dims, dtype=np.int64)), t) for t in m.graph.initializer]
    facts: dict[str, Any] = {
        "file": path, "bytes": os.path.getsize(path), "format": m.ir_version, "producer": f"{m.producer_name} {m.producer_version}".strip(),
        "opsets": {o.domain or "ai.onnx": o.version for o in m.opset_import},
        "inputs": [{"name": i.name, "dtype": str(i.dtype), "shape": list(i.dims or ())} for i in inputs],
        "outputs": [{"name": o.name, "dtype": str(o.dtype), "shape": list(o.dims or ())} for o in outputs],
        "initializers": len(sizes), "parameters": sum(n for n, _ in sizes), "external": sum(t.data_location == 1 for _, t in sizes),
        "functions": [f.name for f in m.functions], "nodes": len(m.graph.node), "ops": dict(ops.most_common()),
    }  # fmt: skip
    if as_json:
        output.document("onnx", **facts)
        return EXIT["fine"]
    sets = ", ".join(f"{d} {v}" for d, v in facts["opsets"].items())
    print(f"{path}: {output.size(facts['bytes'])}, format {m.ir_version}, {sets}, by {facts['producer'] or 'nobody'}")
    for title, values in (("input", inputs), ("output", outputs)):
        for v in values:
            print(f"  {title:<7} {v.name}: {v.dtype}[{', '.join('?' if d is None else str(d) for d in v.dims or ())}]")
    beside = f", {facts['external']} of them in other files" if facts["external"] else ""
    print(f"  weights {facts['parameters']} numbers in {len(sizes)} tensors{beside}")
    print(f"  nodes   {facts['nodes']}: {', '.join(f'{n} {op}' for op, n in ops.most_common())}")
    return EXIT["fine"]
