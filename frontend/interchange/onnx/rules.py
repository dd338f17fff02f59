"""What a node means: a table from (domain, op, since which version) to a rule, a function of the node's inputs and attributes.

    @op("LeakyRelu")
    def leaky_relu(x, *, alpha=0.01):
        return F.leaky_relu(x, alpha)

Positional parameters are the node's inputs, None where one is left out; keyword parameters are its attributes with the schema's
defaults. Inputs come as Tensors. Those that a rule names as `known` come as NumPy arrays instead: shapes, axes and the like, whose
values the graph must settle. A first parameter `c` is the `Call`. A rule gives a value, or a tuple of them, one per output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import CO_VARARGS
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.ir.struct import struct

__all__ = ["Call", "NeedsValue", "OnnxError", "Rule", "known", "newest", "op"]


class OnnxError(RuntimeError):
    """A model that cannot be read, or run with these inputs; the message names the node, its op and the input."""


class NeedsValue(OnnxError):
    """What decides shapes, or how often a loop runs, is computed or passed: the model cannot be compiled as a whole."""


@struct
class Rule:
    """since: the first version of the op set in which it holds
    inputs: names of the positional parameters; `variadic`: the last one takes all that is left
    raw: inputs come as they are: Tensors, arrays, lists, codes
    moves: it only moves elements, whatever their type
    """

    run: Callable
    since: int
    inputs: tuple[str, ...]
    variadic: bool
    attrs: frozenset[str]
    known: frozenset[str]
    buffers: frozenset[str]
    wants_call: bool
    raw: bool
    moves: bool

    def input_name(self, i: int) -> str:
        return self.inputs[min(i, len(self.inputs) - 1)] if self.inputs and (i < len(self.inputs) or self.variadic) else ""


_RULES: dict[tuple[str, str], list[Rule]] = {}


def op(
    *names: str, since: int = 1, domain: str = "", known: Sequence[str] = (), buffers: Sequence[str] = (), raw: bool = False,
    moves: bool = False,
) -> Callable[[Callable], Callable]:  # fmt: skip
    """Enter a rule for ops of these names, from version `since` of the domain on."""

    def enter(fn: Callable) -> Callable:
        code: Any = fn.__code__  # of two hundred functions, `inspect.signature` takes three milliseconds
        places, keywords = code.co_varnames[: code.co_argcount], code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
        variadic = bool(code.co_flags & CO_VARARGS)
        if variadic:
            places += (code.co_varnames[len(places) + len(keywords)],)
        wants_call = places[:1] == ("c",)
        rule = Rule(
            fn, since, places[wants_call:], variadic, frozenset(keywords), frozenset(known), frozenset(buffers), wants_call, raw, moves
        )
        for name in names:
            versions = _RULES.setdefault((domain, name), [])
            if any(r.since == since for r in versions):
                raise ValueError(f"{domain or 'ai.onnx'}.{name} {since} is entered twice")
            versions.append(rule)
            versions.sort(key=lambda r: r.since)
        return fn

    return enter


def known(domain: str, name: str) -> bool:
    """Whether an op has been entered."""
    return (domain, name) in _RULES


def newest(domain: str, name: str, version: int) -> Rule | None:
    """The rule of an op, of those that have been entered: the newest that is not above the version of its domain."""
    found = None
    for rule in _RULES.get((domain, name), ()):
        if rule.since <= version:
            found = rule
    return found


class Call:
    """One node that is being evaluated, for rules that need more than inputs and attributes."""

    def __init__(self, run: Any, node: Any, version: int, scope: Any):
        self.run, self.node, self.version, self.scope = run, node, version, scope

    def wants(self, i: int) -> bool:
        """Whether output `i` has a name."""
        return i < len(self.node.outputs) and bool(self.node.outputs[i])

    @property
    def outputs(self) -> int:
        return len(self.node.outputs)

    def tensor(self, value: Any) -> Tensor:
        return self.run.tensor(value)

    def known(self, value: Any, what: str) -> np.ndarray:
        return self.run.known(value, what)

    def body(self, body: Any, inputs: Sequence[Any]) -> list[Any]:
        """The results of a subgraph, which sees the names around this node."""
        return self.run.body(body, inputs, self.scope)
