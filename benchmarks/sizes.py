"""Sizes that change: what a call of a new size costs, how much is compiled, and what code for every size loses.

All with caches that are empty at the start of a process, but where "again" stands.
"""

from __future__ import annotations

import functools

from benchmarks.processes import Case, Column, Place, Row, Sampler, run_process

__all__ = ["SIZES"]

_WHOLE = (Column("with compilation", "whole"), Column("/ ingot", "whole", "ratio"), Column("known sizes", "known"))
_COMPILED = Column("compilations", "compiled", unit="number")
_MORE = Column("a fresh size more", "more")


def _cold(scenario: str, contender: str, place: Place) -> Sampler:
    return lambda i: run_process(["-m", "benchmarks.sizes_child", scenario, contender], place.environment(f"{contender}{i}"))


def _again(scenario: str, contender: str, place: Place) -> Sampler:
    child = ["-m", "benchmarks.sizes_child", scenario, contender]
    run_process(child, place.environment())
    return lambda i: run_process(child, place.environment())


def _cases(scenario: str, *contenders: str) -> tuple[Case, ...]:
    """torch.compile, which takes half a minute for some, runs once."""
    return tuple(Case(c, functools.partial(_cold, scenario, c), most=1 if c == "torch.compile" else 99) for c in contenders)


_ALL = ("ingot", "ingot eager", "torch eager", "torch.compile")
_EAGER = (
    Case("ingot", functools.partial(_cold, "notebook", "ingot eager")),
    Case("ingot, again", functools.partial(_again, "notebook", "ingot eager"), "ingot"),
    Case("torch eager", functools.partial(_cold, "notebook", "torch eager")),
)
SIZES: tuple[Row, ...] = (
    Row("sizes_encoder", "encoder layer at 100 lengths from 1 to 512", (*_WHOLE, _MORE, _COMPILED), _cases("encoder", *_ALL)),
    Row("sizes_gpt", "GPT of 4 layers at 100 lengths from 1 to 512", (*_WHOLE, _MORE, _COMPILED), _cases("gpt", *_ALL)),
    Row("sizes_generate", "256 tokens with keys and values joined to those before", (*_WHOLE, _COMPILED), _cases("generate", *_ALL)),
    Row("sizes_held", "256 tokens with keys and values kept in attributes", (*_WHOLE, _COMPILED), _cases("held", *_ALL)),
    Row(
        "sizes_short_batch", "two epochs of an MLP whose last batch is short (23 for 64)",
        (*_WHOLE, Column("full batch", "full"), Column("short batch", "short"), _COMPILED), _cases("short_batch", *_ALL),
    ),
    Row(
        "sizes_notebook", "200 distinct expressions over changing shapes",
        (_WHOLE[0], Column("from python", "seconds"), Column("/ ingot", "seconds", "ratio")), _EAGER,
    ),
    Row(
        "sizes_prompt", "(a @ a.T).softmax(-1).sum() and randn at the prompt",
        (Column("first", "first"), Column("second shape", "second"), Column("fresh shape", "fresh"), Column("known shape", "known"),
         Column("first randn", "random"), Column("randn of a fresh shape", "fresh random")),
        (Case("ingot", functools.partial(_cold, "prompt", "ingot eager")), *_cases("prompt", "torch eager")),
    ),
    Row(
        "sizes_static", "a symbolic batch over static code of the same size",
        tuple(Column(n, n, unit="number") for n in ("mlp", "lenet", "gpt", "lstm")), _cases("static", "ingot"),
    ),
)  # fmt: skip
