"""The short way of a hit: one generated Python function per entry, which checks and calls without loops.

It serves calls with positional arguments that are Tensors, numbers and static values, or tuples, lists and dicts of such, and answers
MISS for everything it is not sure of; the long way in function.py then decides. It never decides differently, only faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.autocast import LOWER
from ingot._tensor.metadata import _default_dtype
from ingot.capture.attached import MARK, has_slots
from ingot.capture.call import CompiledCall
from ingot.capture.describe import PLAIN
from ingot.capture.guards import Guards, same_memory
from ingot.capture.lines import Lines
from ingot.capture.pytree import LEAF
from ingot.capture.roots import library
from ingot.capture.sources import Argument, Attribute, BriefArgument, type_text
from ingot.capture.trace import hooks, leaf_of
from ingot.capture.traced import Traced
from ingot.ir.precision import PRODUCTS
from ingot.runtime.array import HOST, Array, ready
from ingot.runtime.epoch import EPOCH
from ingot.runtime.numbers import wrap_i64
from ingot.runtime.recorder import here
from ingot.runtime.tape import Leaf

__all__ = ["MISS", "fast_call"]

MISS = object()
_LEAVES = 64  # more arguments go the long way


def fast_call(
    call: CompiledCall, guards: Guards, structure: Sequence[Any], leaves: Sequence[Any], numbers: Sequence[int], grad_enabled: bool,
    stats: dict[str, int],
) -> Callable[..., Any] | None:
    """The generated function for calls with positional arguments of this structure, with leaves like these; None where only the long
    way will do.
    """
    traced = call.traced
    if len(leaves) > _LEAVES or call.there or call.back or call.stages is not None:
        return None
    c = Lines({
        "MISS": MISS, "here": here, "EPOCH": EPOCH, "Tensor": Tensor, "Array": Array, "new": object.__new__, "ready": ready,
        "default_dtype": _default_dtype, "lower": LOWER, "products": PRODUCTS, "allocate": call.allocate, "wrap_i64": wrap_i64,
        "Leaf": Leaf, "math": math, "MARKED": {MARK},
    })  # fmt: skip
    parameters = _parameters(c, structure, leaves)
    if parameters is None:
        return None
    c.add("rec = here.recorder")
    c.need(f"rec.grad_enabled is {grad_enabled} and not rec.tracing and EPOCH[0] == {c.name(guards)}.epoch")
    c.need(f"default_dtype[0] is {c.name(_default_dtype[0])}")
    c.need(f"products[0] == {PRODUCTS[0]!r}")
    c.need(f"rec.autocast is {c.name(here.recorder.autocast)} and lower[0] is {c.name(LOWER[0])}")
    if not _arguments(c, traced, leaves, numbers, guards):
        return None
    if traced.fit is not None:
        traced.fit.lines(c)
    if not all(w.lines(c) for w in guards.inline):
        return None
    c.settle()
    if guards.deep:
        c.need(f"{c.name(guards)}.changed() is None")
    c.add(f"if rec.nodes{'' if call.device is None else ' or rec.others'}: rec.cut()")
    slots, keep = [""] * len(traced.sources), [""] * len(traced.sources)
    for k, source in sorted(enumerate(traced.sources), key=lambda p: p[1].last):
        gathered = source.lines(c, k, call.in_types[k])
        if gathered is None:
            return None
        slots[k], keep[k] = gathered
    out_types = call.out_types
    outs = [f"o{i}" for i in range(len(out_types))]
    types = "out_types"
    c.names[types] = out_types
    for i, t in enumerate(out_types):
        if t.symbolic:
            c.add(f"OT{i} = {type_text(c, t)}")
            types = f"({''.join(f'OT{k}, ' for k in range(len(outs)))})"
        else:
            c.names[f"OT{i}"] = t
    if call.donations:
        c.names["buffers"] = call.buffers
        c.add(f"{''.join(f'{o}, ' for o in outs)} = buffers({types}, 1)")
    else:
        for i, (o, t) in enumerate(zip(outs, out_types)):
            c.add(f"{o} = allocate({f'OT{i}.nbytes' if t.symbolic else t.nbytes})")
    slots += [f"{o}.address" for o in outs]
    slots += [f"d_{n}" for n in call.symbols]
    c.names["run"], c.names["explained"] = call.run, call.explained
    c.add("try:")
    c.add(f"    run({', '.join(slots)})")
    c.add("except Exception as error:")
    c.add(f"    raise explained(error, {', '.join(slots)}) from None")
    c.names["stats"] = stats
    c.add("stats['calls'] += 1")
    arguments = [f"a{i}" for i in range(len(leaves))]
    made = _made_here(c, traced)
    if made is not None:
        for line in made:
            c.add(line)
        c.add("return t0" if traced.result.one else f"return ({''.join(f't{i}, ' for i in range(len(traced.recipes)))})")
    else:
        c.names["HOST"] = HOST
        c.names["finish"] = call.finish
        kept = ", ".join(keep) if traced.backward is not None else ""
        sizes = "" if traced.fit is None else ", ".join(f"{s.name!r}: d_{s.name}" for s, _, _, _ in traced.fit.roots)
        sizes += "" if traced.fit is None else "".join(f", {n!r}: d_{n}" for n in traced.fit.defined)
        given = f"({''.join(f'{a}, ' for a in arguments)}), [{kept}], [{', '.join(outs)}]"
        c.add(f"return finish({given}, {types}, {{{sizes}}})")
    return c.function("fast", parameters, f"<ingot call of {traced.name}>")


def _parameters(c: Lines, structure: Sequence[Any], given: Sequence[Any]) -> list[str] | None:
    """The parameters, with the lines that take them and the attributes of tensors apart into the leaves `a0`, `a1`, …; None where no
    lines can.
    """
    _, args, _, *attached = structure
    leaves, names = map("a{}".format, count()), map("q{}".format, count())
    parameters = []
    for s in args[1:]:
        parameters.append(next(leaves if s == LEAF else names))
        if s != LEAF and not _taken_apart(c, parameters[-1], s, leaves, names):
            return None
    known = {id(x) for x in given if isinstance(x, Tensor)}
    for parts in attached:
        for i, s in zip(parts[1], parts[2:]):
            held = next(names)
            c.need(f"a{i}.__class__ is {c.name(type(given[i]))}")
            c.add(f"{held} = a{i}.__dict__")
            known.discard(id(given[i]))
            if has_slots(type(given[i])) or not _taken_apart(c, held, s, leaves, names):
                return None
    c.bare.update(known)
    return parameters


def _taken_apart(c: Lines, name: str, structure: Any, leaves: Iterator[str], names: Iterator[str]) -> bool:
    kind, *parts = structure
    if kind not in (tuple, list, dict):
        return False
    values = name
    c.need(f"{name}.__class__ is {kind.__name__}")
    if kind is dict:
        keys, *parts = parts
        if not all(type(k) in (str, int) for k in keys):
            return False
        c.need(f"(*{name},) == {keys!r}")
        values = f"(*{name}.values(),)"
    else:
        c.need(f"len({name}) == {len(parts)}")
    for i, s in enumerate(parts):
        inner = next(leaves if s == LEAF else names)
        c.add(f"{inner} = {values}[{i}]")
        if s != LEAF and not _taken_apart(c, inner, s, leaves, names):
            return False
    return True


def _arguments(c: Lines, traced: Traced, leaves: Sequence[Any], numbers: Sequence[int], guards: Guards) -> bool:
    """Add the lines that check the arguments; False where no line can."""
    tensors, gradients = c.tensors, guards.gradients
    first: dict[int, int] = {}
    for i, x in enumerate(leaves):
        if i in numbers:
            if type(x) is not float:
                return False
            c.need(f"a{i}.__class__ is float")
        elif isinstance(x, Tensor):
            if x._slot is not None and x._slot.grad is not None:
                return False
            if first.setdefault(id(x), i) != i:
                c.need(f"a{i} is a{first[id(x)]}")
                continue
            tensors.append(i)
            if has_slots(type(x)):
                return False
            c.need(f"a{i}.__class__ is {c.name(type(x))}")
            if (guards.asks or not library(type(x))) and id(x) in c.bare:
                c.need(f"not a{i}.__dict__ or a{i}.__dict__.keys() == MARKED")
            if not _memory(c, traced, x, i, guards):
                return False
            edge = "is None" if x._edge is None else "is not None"
            sized = traced.fit is not None and i in traced.fit.free
            kind = f" is {c.name(x._array.type)}"
            if sized:
                kind = f".dtype is {c.name(x._array.type.dtype)} and m{i}.type.device == {x._array.type.device}"
            c.need(f"a{i}._edge {edge} and m{i}.type{kind}")
            leaf = leaf_of(x)
            if hooks(leaf):
                return False
            if leaf is not None:
                node = f"a{i}._edge[0]"
                c.need(f"{node}.__class__ is Leaf and not ({node}.hooks or {node}.pre_hooks or {node}.slot.post_hooks)")
            elif x._edge is not None:
                c.need(f"a{i}._edge[0].__class__ is not Leaf")
            for s in gradients:
                if s.type == x._array.type or sized:
                    c.need(f"a{i} is not {c.name(s)}.grad")
            if x._slot is None:
                c.need(f"a{i}._slot is None")
            else:
                c.need(f"a{i}._slot is None or a{i}._slot.grad is None")
        elif isinstance(x, (bool, type(None))):
            c.need(f"a{i} is {x!r}")
        elif type(x) in (int, float) and traced.fit is not None and i in traced.fit.free:
            c.need(f"a{i}.__class__ is {type(x).__name__}")
        elif type(x) is float:
            c.need(f"a{i}.__class__ is float and repr(a{i}) == {repr(x)!r}")
        elif isinstance(x, (int, str)):
            c.need(f"a{i}.__class__ is {type(x).__name__} and a{i} == {x!r}")
        elif isinstance(x, PLAIN) or isinstance(x, (tuple, list, dict)):
            return False
        else:
            c.need(f"a{i} is {c.name(x)}")
    read = {s.place.key for s in traced.sources if isinstance(s, Attribute)}
    for p in guards.exchanged:
        if p.key not in read:
            c.names["same_memory"] = same_memory
            for i in tensors:
                c.need(f"not same_memory(a{i}, {p.expression(c)})")
    if traced.distinct:
        for k, i in enumerate(tensors):
            for j in tensors[k + 1 :]:
                c.need(f"a{i} is not a{j}")
    return True


def _memory(c: Lines, traced: Traced, x: Tensor, i: int, guards: Guards) -> bool:
    """Add the lines that find the value `m{i}` of a tensor, whose memory must be that of nothing else that the function reads or writes;
    False where it is. Memory that others see is read where it is, if the call is over before they can write.
    """
    if guards.by_reference:
        return False
    at_once = x._edge is None and not guards.exchanged
    at_once = at_once and all(type(s) is BriefArgument for s in traced.sources if isinstance(s, Argument) and s.index == i)
    c.add(f"s{i} = a{i}._storage")
    others = [f"s{i} is s{j}" for j in c.tensors if j != i and traced.distinct]
    others += [f"{g}.grad is not None and {g}.grad._storage is s{i}" for g in map(c.name, guards.gradients)]
    if guards.captured:
        others.append(f"s{i} in {c.name(guards.captured)}")
    c.add(f"if s{i} is None: m{i} = a{i}._array")
    if others:
        c.add(f"elif {' or '.join(others)}: return MISS")
    if at_once:
        c.add(f"elif s{i}.exposed is not None and not a{i}._steps and s{i}.base.buffer is not None: m{i} = s{i}.base")
    c.add(f"else: m{i} = a{i}._now()")
    return True


def _made_here(c: Lines, traced: Traced) -> list[str] | None:
    """The lines that make what is returned, a tensor or a tuple of them, where there is nothing to finish; else None."""
    if traced.writes or traced.fresh or traced.backward is not None:
        return None
    if len(set(traced.recipes)) < len(traced.recipes) or not (traced.result.one or traced.result.flat):
        return None
    out: list[str] = []
    for i, r in enumerate(traced.recipes):
        lines = r.lines(c, i, traced)
        if lines is None:
            return None
        out += lines
    return out
