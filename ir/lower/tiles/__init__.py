"""Tiled contractions: matrix products and convolutions on packed register tiles.

Rows of A are broadcast from where they lie, but for rows that lie across k: an item gathers those of a tile first. B is
packed into panels [k][columns] of whole vectors; a tile of rows times the columns of a panel stays in registers over all of k,
and the elementwise ops that follow are applied before it is stored. Those of integers, and of bfloat16 where a machine multiplies it,
have a schedule of their own, in which several elements share a word; so have windows of 3 x 3: Winograd's.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node
from ingot.ir.lower import few_rows
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.target import Kind
from ingot.ir.lower.tiles import choose, emit, winograd, winograd_schedule, words_emit
from ingot.ir.lower.tiles.schedule import Tiles
from ingot.ir.lower.tiles.winograd_schedule import Winograd
from ingot.ir.lower.tiles.words_schedule import Words, along_of
from ingot.ir.lower.tiles.words_schedule import choose as choose_words
from ingot.ir.machine import Machine

__all__ = ["TILES"]


def _choose(group: Group, machine: Machine) -> Tiles | Words | FewRows | Winograd:
    if group.nodes[0].outputs[0].type.dtype.kind != "f":
        return choose_words(group, machine)
    found = winograd_schedule.choose(group, machine) or few_rows.choose(group, machine)
    if found is None and machine.dot_halves and along_of(group, 2) is not None:
        return choose_words(group, machine)
    return found or choose.choose(group, machine)


def _emit(group: Group, s: Tiles | Words | FewRows | Winograd, check: Callable[[Node], int]) -> list[Written]:
    if isinstance(s, Winograd):
        return winograd.emit(group, s, check)
    if isinstance(s, FewRows):
        return few_rows.emit(group, s, check)
    return emit.emit(group, s, check) if isinstance(s, Tiles) else words_emit.emit(group, s, check)


TILES = Kind(_choose, _emit)
