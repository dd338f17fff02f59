"""One call of `ingot cache warm`, in a process of its own: it asks for exactly the code that a fresh process will ask for.

Started by cache_warm.py, as `python -m ingot.runtime.cli.warm_worker FD`: the request is JSON on stdin, the answer goes to the
descriptor FD. What the user's code prints goes to stderr.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
import sys
import time
import traceback
from typing import Any

from ingot.runtime.cli import call_spec
from ingot.runtime.cli.call_spec import CallSpec, Tensor

__all__ = ["filled", "found", "main"]


def main() -> None:
    """Do what stdin asks for."""
    request = json.load(sys.stdin)
    fd = int(sys.argv.pop())
    os.set_inheritable(fd, False)
    with open(fd, "w", encoding="utf-8") as answer:
        try:
            json.dump(_work(call_spec.parse(request["spec"]), **request["options"]), answer)
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # also SystemExit: modules that are scripts
            json.dump({"error": _in_one_line(e)}, answer)


def _work(spec: CallSpec, no_grad: bool, elsewhere: str | None) -> dict[str, Any]:
    """Make the call once, on zeros: the keys of all code that was asked for, from the start of this process.

    elsewhere: a level that this CPU does not run. Then the function is traced and not called, what else runs on the way is
    interpreted, and the graphs are compiled for that level: none for this CPU.
    """
    import ingot
    from ingot.runtime import compiler
    from ingot.runtime.cache import the_cache
    from ingot.runtime.interpreted import Interpreted

    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    asked: dict[tuple[str, bool], tuple[Any, dict[str, Any]]] = {}  # graphs by text, and whether quick code will do
    real = compiler.executable

    def noting(graph: Any, provenance: dict[str, Any] | None = None, quick: bool = False) -> Any:
        asked.setdefault((graph.text, quick), (graph, provenance or {}))
        return real(graph, provenance, quick=quick) if elsewhere is None else Interpreted(graph)

    setattr(compiler, "executable", noting)  # noqa: B010  (this process does nothing else)
    with ingot.frozen(False):
        fn = _compiled(spec)
        args, kwargs = filled(spec.args), filled(spec.kwargs)
        start = time.perf_counter()
        with ingot.set_grad_enabled(not no_grad and ingot.is_grad_enabled()):
            if elsewhere is None:
                fn(*args, **kwargs)
            else:
                noting(_graph(fn, args, kwargs))
                start = time.perf_counter()
                _compile_for(elsewhere, [(*what, quick) for (_, quick), what in asked.items()])
        ms = (time.perf_counter() - start) * 1e3
    names = {
        hashlib.sha256(text.encode()).hexdigest(): [provenance.get("name") or graph.name, _signature(graph)]
        for (text, _), (graph, provenance) in asked.items()
    }
    return {"keys": sorted(the_cache().used), "names": names, "compiled": the_cache().counts["put"], "ms": round(ms, 3)}


def _graph(fn: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The graph that a call of a compiled function would run, when all that it reads has been computed."""
    from ingot.capture import trace_call
    from ingot.runtime.array import ready
    from ingot.runtime.recorder import flush

    flush()  # as a call does
    traced, leaves = trace_call(fn, args, kwargs)
    for a in traced.gather(leaves, {} if traced.fit is None else traced.fit.bind(leaves)):
        ready(a)
    return traced.graph


def _compile_for(name: str, asked: list[tuple[Any, dict[str, Any], bool]]) -> None:
    from ingot.backends import backend
    from ingot.runtime import compiler

    level = backend("cpu").levels[name]
    for graph, provenance, quick in asked:
        compiler.code_of(graph, level, provenance, quick)
    compiler.pool_code(level.arch)


def found(spec: CallSpec) -> Any:
    """What the attribute is. ImportError, AttributeError or TypeError where there is none, or none that can be called."""
    at: Any = importlib.import_module(spec.module)
    for i, name in enumerate(spec.attribute.split(".")):
        if not hasattr(at, name):
            place = ".".join([spec.module, *spec.attribute.split(".")[:i]])
            raise AttributeError(f"{place} has no attribute {name}")
        at = getattr(at, name)
    if inspect.isclass(at):
        raise TypeError(f"{spec.attribute} is a class: name an instance of it")
    if not callable(at):
        raise TypeError(f"{spec.attribute} is a {type(at).__name__}, which cannot be called")
    return at


def _compiled(spec: CallSpec) -> Any:
    """The compiled function that is called: what the attribute is, or what `ingot.compile` makes of it."""
    import ingot
    from ingot.capture import CompiledFunction, CompiledModule

    fn = found(spec)
    bound = isinstance(fn, functools.partial) and isinstance(fn.func, CompiledFunction)  # a method of a decorated function
    return fn if bound or isinstance(fn, (CompiledFunction, CompiledModule)) else ingot.compile(fn)


def filled(value: Any) -> Any:
    """Arguments with tensors of zeros in their places. They come from NumPy: making them asks for no code."""
    if isinstance(value, Tensor):
        import numpy as np

        import ingot
        from ingot.ir import dtypes

        return ingot.tensor(np.zeros(value.shape, dtypes.by_name(value.dtype).numpy))
    if isinstance(value, (tuple, list)):
        return type(value)(filled(v) for v in value)
    if isinstance(value, dict):
        return {k: filled(v) for k, v in value.items()}
    return value


def _signature(graph: Any) -> str:
    """As the compiler records it."""
    args = ", ".join(f"{n}: {t}" for n, t in zip(graph.input_names, graph.in_types))
    return f"({args}) -> ({', '.join(map(str, graph.out_types))})"


def _in_one_line(e: BaseException) -> str:
    """What went wrong, and where in the user's code."""
    packages = ("ingot", "ingot.ir", "ingot.backends", "ingot.runtime", "importlib")
    ours = [sys.modules[m].__path__[0] + os.sep for m in packages if m in sys.modules]
    theirs = [f for f in traceback.extract_tb(e.__traceback__) if not f.filename.startswith(("<frozen", *ours))]
    place = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    text = str(e).strip().splitlines()
    return f"{type(e).__name__}{': ' + text[0].strip() if text else ''}{place}"


if __name__ == "__main__":
    main()
