"""The compile cache: what a hit costs in a small folder and in a large one, and the operations that people meet."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator

from benchmarks.processes import Case, Column, Line, Place, Row, Sampler, run_process
from benchmarks.store import the_store

__all__ = ["CACHE", "cache_rows"]

_CHILD = ["-m", "benchmarks.cache_child"]
_AGAIN = "50"  # calls per process, after the first


def _hit(mode: str, entries: int, place: Place) -> Sampler:
    store = the_store(entries, place)
    what = store.key
    if mode == "executable":
        what = os.path.join(place.folder, "graph.txt")
        with open(what, "w", encoding="utf-8") as f:
            f.write(store.graph)
    return lambda i: run_process([*_CHILD, mode, what, _AGAIN], store.environment())


def _jax(place: Place) -> Sampler:
    command = [*_CHILD, "jax", "", _AGAIN]
    run_process([*_CHILD, "jax", "", "0"], place.environment())

    def sample(i: int) -> Line:
        line = run_process(command, place.environment())
        if line.pop("missed"):
            raise RuntimeError("its cache missed: it compiled again")
        return line

    return sample


def _put(entries: int, place: Place) -> Sampler:
    store = the_store(entries, place)

    def sample(i: int) -> Line:
        line = run_process([*_CHILD, "put", store.key, "20"], store.environment())
        store.restore()
        del line["seconds"]  # which are those of all of them
        return line

    return sample


def _put_over(entries: int, place: Place) -> Sampler:
    """A put that finds the folder full, as the bounds' defaults have it: it evicts a tenth."""
    store = the_store(entries, place)

    def sample(i: int) -> Line:
        line = run_process([*_CHILD, "put", store.key, "1"], store.environment(INGOT_CACHE_MAX_ENTRIES=str(entries)))
        left = sum(1 for _ in store.layer.list())
        store.restore()
        if not 0.85 * entries <= left <= 0.95 * entries:
            raise RuntimeError(f"{left} of {entries} entries were left, about nine tenths expected")
        return line

    return sample


def _command(arguments: tuple[str, ...], entries: int, place: Place) -> Sampler:
    """A command of `ingot cache`; `{99%}` stands for that part of the number of entries."""
    store = the_store(entries, place)
    text = json.dumps(["cache", *(a.replace("{99%}", str(entries * 99 // 100)) for a in arguments)])

    def sample(i: int) -> Line:
        line = run_process([*_CHILD, "command", text, ""], store.environment())
        if "prune" in arguments:
            store.restore()
        return line

    return sample


_COMMANDS = {
    "info": ("info",),
    "ls -q": ("ls", "-q"),
    "ls --sort cost": ("ls", "--sort", "cost"),
    "prune to 99 %": ("prune", "--max-entries", "{99%}", "--yes"),
}


def _hit_cases(sizes: tuple[int, ...]) -> Iterator[Case]:
    for mode, what in (("lookup", "lookup"), ("load", "key to callable"), ("executable", "graph to callable")):
        for n in sizes:
            yield Case(f"ingot: {what}, {n:,} entries", functools.partial(_hit, mode, n), "ingot")
    yield Case("jax.jit: lowered to compiled, nothing else in its cache", _jax, "jax.jit")


def _ops_cases(sizes: tuple[int, ...]) -> Iterator[Case]:
    for n in sizes:
        yield Case(f"put, {n:,} entries", functools.partial(_put, n), "ingot")
    for n in sizes:
        yield Case(f"put, {n:,} entries: one too many", functools.partial(_put_over, n), "ingot")
    for name, arguments in _COMMANDS.items():
        for n in sizes:
            yield Case(f"{name}, {n:,} entries", functools.partial(_command, arguments, n), "ingot")


def cache_rows(sizes: tuple[int, ...]) -> tuple[Row, ...]:
    """The rows, for folders of so many entries."""
    hit = (
        Column("first", "first"), Column("worst", "first", "worst"),
        Column("again", "again"), Column("worst", "again", "worst"), Column("process", "seconds"),
    )  # fmt: skip
    ops = (
        Column("median", "work"), Column("worst", "work", "worst"), Column("from python", "seconds"), Column("worst", "seconds", "worst"),
        Column("peak memory", "peak", unit="bytes"),
    )  # fmt: skip
    return (
        Row("cache_hit", "hit of the MLP's code, batch 1: first in a fresh process, imports not counted; then again, unloaded each time",
            hit, tuple(_hit_cases(sizes)), share=1),
        Row("cache_ops", "operations on the cache: the work alone, and commands from the start of python, output discarded",
            ops, tuple(_ops_cases(sizes))),
    )  # fmt: skip


CACHE = cache_rows((10, 100_000))
