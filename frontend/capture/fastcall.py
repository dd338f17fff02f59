"""The short way of a hit: one generated Python function per specialisation, which checks and calls without loops.

It serves calls with positional arguments that are Tensors, numbers and static values, and answers MISS for everything it is
not sure of; the long way in function.py then decides. It never decides differently, only faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.metadata import _default_dtype
from ingot.capture.describe import PLAIN
from ingot.capture.guards import _MISSING, Guards
from ingot.capture.specialization import Specialization
from ingot.runtime import memory
from ingot.runtime.array import Array, ready
from ingot.runtime.epoch import EPOCH
from ingot.runtime.numbers import wrap_i64
from ingot.runtime.recorder import here, translate

__all__ = ["MISS", "fast_call"]

MISS = object()

_WRAP = """
    t{i} = new(Tensor)
    t{i}._array = Array(OT{o}, o{o}, None, None)
    t{i}._edge = {edge}
    t{i}._storage = t{i}._version_cell = t{i}._slot = None
    t{i}._steps = ()
    t{i}._generation = 0
    t{i}._weak = False"""


class _Source:
    """The lines of the function, and the objects they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "MISS": MISS, "here": here, "EPOCH": EPOCH, "Tensor": Tensor, "Array": Array, "new": Tensor.__new__, "ready": ready,
            "get_default_dtype": _default_dtype, "allocate": memory.allocate, "translate": translate, "wrap_i64": wrap_i64,
        }  # fmt: skip

    def name(self, value: Any, prefix: str = "v") -> str:
        """A name for an object."""
        n = f"{prefix}{len(self.names)}"
        self.names[n] = value
        return n

    def need(self, condition: str) -> None:
        """Go the long way unless `condition`."""
        self.lines.append(f"    if not ({condition}): return MISS")

    def add(self, line: str) -> None:
        self.lines.append("    " + line)


def fast_call(
    spec: Specialization, guards: Guards, leaves: Sequence[Any], numbers: Sequence[int], grad_enabled: bool, stats: dict[str, int]
) -> Callable[..., Any] | None:
    """The generated function for calls whose positional arguments are like `leaves`; None where only the long way will do."""
    if any(value is _MISSING for _, _, value in guards.cells):
        return None
    if any(s.kind == "attribute" for s in spec.sources) or len(leaves) > 64:
        return None
    c = _Source()
    c.add("rec = here.recorder")
    c.need(f"rec.grad_enabled is {grad_enabled} and not rec.tracing and EPOCH[0] == {c.name(guards)}.epoch")
    c.need(f"get_default_dtype[0] is {c.name(_default_dtype[0])}")
    if not _arguments(c, spec, leaves, numbers):
        return None
    _guards(c, guards)
    slots, keep = _inputs(c, spec, numbers)
    if spec.donations:
        c.names["buffers"] = spec.buffers
        c.add(f"{''.join(f'o{i}, ' for i in range(len(spec.nbytes)))} = buffers()")
    for i, n in enumerate(() if spec.donations else spec.nbytes):
        c.add(f"o{i} = allocate({n})")
    slots += [f"o{i}.address" for i in range(len(spec.nbytes))]
    c.names["run"] = spec.run
    c.add("try:")
    c.add(f"    run({', '.join(slots)})")
    c.add("except Exception as error:")
    c.add("    raise translate(error) from None")
    c.names["stats"] = stats
    c.add("stats['calls'] += 1")
    _outputs(c, spec, len(leaves), keep)
    text = f"def fast({', '.join(f'a{i}' for i in range(len(leaves)))}):\n" + "\n".join(c.lines)
    exec(compile(text, f"<ingot call of {spec.name}>", "exec"), c.names)
    return c.names["fast"]


def _arguments(c: _Source, spec: Specialization, leaves: Sequence[Any], numbers: Sequence[int]) -> bool:
    tensors = []
    for i, x in enumerate(leaves):
        if i in numbers:
            if type(x) is not float:
                return False
            c.need(f"a{i}.__class__ is float")
        elif isinstance(x, Tensor):
            if x._storage is not None or (x._slot is not None and x._slot.grad is not None):
                return False
            tensors.append(i)
            edge = "is not None" if x._edge is not None else "is None"
            c.need(
                f"a{i}.__class__ is {c.name(type(x))} and a{i}._storage is None and a{i}._edge {edge} "
                f"and a{i}._array.type is {c.name(x._array.type)}"
            )
            if x._slot is None:
                c.need(f"a{i}._slot is None")
            else:
                c.need(f"a{i}._slot is None or a{i}._slot.grad is None")
        elif isinstance(x, (bool, type(None))):
            c.need(f"a{i} is {x!r}")
        elif isinstance(x, (int, str)):
            c.need(f"a{i}.__class__ is {type(x).__name__} and a{i} == {x!r}")
        elif isinstance(x, PLAIN) or isinstance(x, (tuple, list, dict)):
            return False
        else:
            c.need(f"a{i} is {c.name(x)}")
    if any(w.kind in ("argument", "slot", "slot_value", "slot_none") for w in spec.writes):
        for k, i in enumerate(tensors):
            for j in tensors[k + 1 :]:
                c.need(f"a{i} is not a{j}")
    return True


def _guards(c: _Source, guards: Guards) -> None:
    for space, name, _, value in guards.names:
        c.need(f"{c.name(space)}.get({name!r}, MISS) is {c.name(value)}")
    for cell, _, value in guards.cells:
        c.need(f"{c.name(cell)}.cell_contents is {c.name(value)}")
    for slot, was_none in guards.slots:
        c.need(f"({c.name(slot)}.grad is None) is {was_none}")
    if guards.containers or guards.objects or guards.classes or guards.settings:
        c.need(f"{c.name(guards)}.changed() is None")


def _inputs(c: _Source, spec: Specialization, numbers: Sequence[int]) -> tuple[list[str], list[str]]:
    """What is passed for each input, and the expression of its Array (for a backward)."""
    slots: list[str] = []
    keep: list[str] = []
    for k, source in enumerate(spec.sources):
        kind, of = source.kind, source.of
        if kind == "arg":
            c.add(f"x{k} = a{of}._array")
            c.add(f"b{k} = x{k}.buffer")
            c.add(f"if b{k} is None: b{k} = ready(x{k})")
        elif kind == "storage":
            c.add(f"x{k} = {c.name(of)}.base")
            c.add(f"b{k} = x{k}.buffer")
            c.add(f"if b{k} is None: return MISS")
        elif kind == "slot":
            owner = c.name(of) if spec.slot_of.get(of) is None else f"a{spec.slot_of[of]}._grad_slot()"
            c.add(f"x{k} = {owner}.grad._now()")
            c.add(f"b{k} = ready(x{k})")
        else:
            if kind == "number":
                value = f"a{of}"
            elif kind == "cell":
                container, key, index = of
                value = f"float({c.name(container)}[{key!r}]{'' if index is None else f'[{index}]'})"
            else:
                value = f"wrap_i64({c.name(of)}.{'_seed' if kind == 'seed' else 'offset'})"
            c.add(f"n{k} = {value}")
            slots.append(f"n{k}")
            keep.append(f"Array({c.name(spec.in_types[k])}, None, n{k}, HOST)")
            continue
        slots.append(f"b{k}.address")
        keep.append(f"x{k}")
    return slots, keep


def _outputs(c: _Source, spec: Specialization, n: int, keep: list[str]) -> None:
    simple = (
        not spec.writes and not spec.fresh and not spec.generators and spec.backward is None
        and all(r.kind == "value" and not r.leaf for r in spec.recipes)
        and len(set(map(id, spec.recipes))) == len(spec.recipes) and spec.rebuild.__name__ in ("_only", "_all")
    )  # fmt: skip
    if not simple:
        from ingot.runtime.array import HOST

        c.names["HOST"] = HOST
        c.names["finish"] = spec.finish
        kept = ", ".join(keep) if spec.backward is not None else ""
        buffers = ", ".join(f"o{i}" for i in range(len(spec.nbytes)))
        c.add(f"return finish(({''.join(f'a{i}, ' for i in range(n))}), [{kept}], [{buffers}])")
        return
    for i, r in enumerate(spec.recipes):
        fixed = spec.fixed.get(r.out)
        c.names[f"OT{r.out}"] = spec.out_types[r.out]
        c.lines.append(_WRAP.format(i=i, o=r.out, edge="None" if fixed is None else c.name(fixed)).lstrip("\n"))
    if spec.rebuild.__name__ == "_only":
        c.add("return t0")
    else:
        c.add(f"return ({''.join(f't{i}, ' for i in range(len(spec.recipes)))})")
