"""Which schedule a tiled contraction gets: of those in words and of windows only what is needed is imported."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node
from ingot.ir.lower import few_rows
from ingot.ir.lower.depthwise.kind import is_depthwise_gradient
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.schedule import Schedule
from ingot.ir.lower.target import Kind
from ingot.ir.lower.tiles import choose, emit
from ingot.ir.lower.tiles.schedule import Tiles
from ingot.ir.lower.tiles.tuned import tuned
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of

__all__ = ["TILES", "by_rule"]


def _choose(group: Group, machine: Machine) -> Schedule:
    return tuned(group, machine) or by_rule(group, machine)


def by_rule(group: Group, machine: Machine) -> Schedule:
    """The schedule of a contraction that was not measured."""
    if group.nodes[0].outputs[0].type.dtype.kind != "f":
        return _words(group, machine)
    found = _windows(group, machine) or few_rows.choose(group, machine)
    if found is None and machine.dot_halves:
        from ingot.ir.lower.tiles.words_schedule import along_of

        if along_of(group, 2) is not None:
            return _words(group, machine)
    return found or choose.choose(group, machine)


def _words(group: Group, machine: Machine) -> Schedule:
    from ingot.ir.lower.tiles import words_schedule

    return words_schedule.choose(group, machine)


def _windows(group: Group, machine: Machine) -> Schedule | None:
    if len(form_of(group.nodes[0]).m) < 2:
        return None
    if is_depthwise_gradient(group.nodes[0]) and (found := _gradient(group, machine)) is not None:
        return found
    from ingot.ir.lower.tiles import winograd_gradient_schedule, winograd_schedule

    return winograd_schedule.choose(group, machine) or winograd_gradient_schedule.choose(group, machine)


def _gradient(group: Group, machine: Machine) -> Schedule | None:
    from ingot.ir.lower.depthwise import gradient_schedule

    return gradient_schedule.choose(group, machine)


def _emit(group: Group, s: Schedule, check: Callable[[Node], int]) -> list[Written]:
    if isinstance(s, Tiles):
        return emit.emit(group, s, check)
    if isinstance(s, FewRows):
        return few_rows.emit(group, s, check)
    from ingot.ir.lower.depthwise import gradient
    from ingot.ir.lower.depthwise.gradient_schedule import DepthwiseGradient
    from ingot.ir.lower.tiles import winograd, winograd_gradient, words_emit
    from ingot.ir.lower.tiles.winograd_gradient_schedule import WinogradGradient
    from ingot.ir.lower.tiles.winograd_schedule import Winograd

    if isinstance(s, DepthwiseGradient):
        return gradient.emit(group, s, check)
    if isinstance(s, WinogradGradient):
        return winograd_gradient.emit(group, s, check)
    return winograd.emit(group, s, check) if isinstance(s, Winograd) else words_emit.emit(group, s, check)  # type: ignore[arg-type]


TILES = Kind(_choose, _emit)
