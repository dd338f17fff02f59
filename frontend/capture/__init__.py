"""Capture: a function is traced into data, and the data is compiled and run in the function's place.

    f = ingot.compile(f)    module.py: the decorator, and Modules; function.py: a compiled function and its entries
    f(x)

**A first call**, file by file:

1. pytree.py takes the arguments apart into structure and leaves, attached.py the attributes of tensors among them; signature.py makes
   the key of what decides which code serves them (shapes, dtypes, aliases, static values); function.py finds no entry for it, or none
   whose guards hold. argnames.py says what differs, by the parameters' names.
2. tracing.py has the function traced, by one thread at a time. roots.py finds what the function may change. While it runs, witness.py
   sees what it looks at, helped by reads.py (attributes), codes.py (names in bytecode) and impure.py (the clock, files: refused); notes.py
   notes it as watches (watch.py, inline.py), with describe.py, which says a value in a form that can be compared. effects.py refuses what
   later calls would not do again. errors.py has the words.
3. arguments.py gives it stand-ins for tensors and numbers; trace.py is the recorder meanwhile. What is read from outside becomes an
   input, each with a source (sources.py) that says where later calls find it. Nothing outside changes, other threads go on. A number
   that is a symbol (dynamic.py says which, declared.py what users declare) comes as an Extent or a Real (_tensor/), which keep their
   expressions; where the plain number is needed, or two are found to be one, the trace begins again. shapes.py holds what was assumed,
   and says whether later calls fit it; places.py, where such numbers stand.
   stand_ins.py has Python's own functions of numbers give what remembers.
4. assembly.py puts together what was recorded: results are recipes (recipes.py), changes of the world are writes (writes.py);
   tables.py knows those of attributes, dicts, lists and variables, and takes the trace's tensors out of them again; standing.py, where
   lists and dicts stand; exchanged.py, which of their tensors are others at each call; leftovers.py, what no write repeats; where the
   function must run once more, or is refused, restoring.py puts back all that Python's state was. tagged.py has the attributes that
   tensors get. backward.py runs the tape for the backward graph.
5. The outcome is a `Traced` (traced.py), a frozen value in which there is no code and no machine, and its `Guards` (guards.py), which
   are watches (watch.py). export.py makes an artifact of a `Traced`; `trace_call` gives it to others, who compile it for where they like.
6. call.py compiles it for this machine, while other threads trace, and runs it: gather the sources, run, make the recipes, apply the
   writes. A call with a backward is one node of the tape (node.py).

**A hit**: from an entry's second call on, fastcall.py has written a Python function for calls like it (lines.py is its paper): it
checks types, guards and the epoch, passes addresses to the code, and wraps the results or hands them to `CompiledCall.finish`. Where it
is not sure it answers MISS, and function.py looks at everything: signature, guards, `CompiledCall.call`.

**A new kind** of source, recipe, write, watch or end of a gradient is one class beside its like, and the line that makes it. They are
structs (ir/struct.py), since every start of Python defines them.

`__all__` is what users see as `ingot.…`; the other names here are for other rooms.
"""

from ingot.capture.declared import Dim, dims, mark_dynamic, mark_static
from ingot.capture.errors import CaptureError, LeakedTensorError
from ingot.capture.function import RECOMPILES as RECOMPILES
from ingot.capture.function import CompiledFunction
from ingot.capture.module import CompiledModule, compile, frozen
from ingot.capture.module import trace_call as trace_call
from ingot.capture.pytree import broadcast_prefix as broadcast_prefix
from ingot.capture.pytree import flatten as flatten
from ingot.capture.pytree import unflatten as unflatten
from ingot.runtime.frozen import FrozenError

__all__ = [
    "CaptureError", "CompiledFunction", "CompiledModule", "Dim", "FrozenError", "LeakedTensorError", "compile", "dims", "frozen",
    "mark_dynamic", "mark_static",
]  # fmt: skip
