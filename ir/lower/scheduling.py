"""Scheduling: a schedule for every group of a graph, and of the bodies in it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from ingot.ir.lower.group import Fused
from ingot.ir.lower.schedule import Schedule, print_schedule
from ingot.ir.lower.signature import Signature, signature_of
from ingot.ir.lower.target import Target
from ingot.ir.struct import frozen, struct
from ingot.ir.text import clean_name, node_printer

__all__ = ["Scheduled", "schedule", "print_scheduled", "verify_scheduled"]


@frozen
@struct
class Scheduled:
    """The groups of a graph with their schedules; that of a loop or branch are its bodies, scheduled."""

    fused: Fused
    schedules: tuple[Schedule | tuple[Scheduled, ...], ...]
    signatures: tuple[Signature, ...]


def schedule(fused: Fused, target: Target) -> Scheduled:
    """Choose the schedule of every group; groups of the same signature have the same one."""
    return _schedule(fused, target, {}, {})


def _schedule(fused: Fused, target: Target, chosen: dict[Hashable, Schedule], bodies: dict[int, Scheduled]) -> Scheduled:
    schedules: list[Schedule | tuple[Scheduled, ...]] = []
    signatures = tuple(map(signature_of, fused.groups))
    for g, signature in zip(fused.groups, signatures):
        if g.bodies:
            for body in g.bodies:
                if id(body) not in bodies:
                    bodies[id(body)] = _schedule(body, target, chosen, bodies)
            schedules.append(tuple(bodies[id(body)] for body in g.bodies))
            continue
        found = chosen.get(signature.key)
        if found is None:
            found = chosen[signature.key] = target.kind(g).choose(g, target.machine)
        schedules.append(found)
    return Scheduled(fused, tuple(schedules), signatures)


def print_scheduled(scheduled: Scheduled) -> str:
    """The groups of a graph, and the schedule of each."""
    return "\n".join([f"schedules @{clean_name(scheduled.fused.graph.name, 'main')}", *_lines(scheduled, "  "), ""])


def _lines(scheduled: Scheduled, pad: str) -> Iterator[str]:
    names, _ = node_printer(scheduled.fused.graph)
    for g, s in zip(scheduled.fused.groups, scheduled.schedules):
        yield pad + g.title(names)
        if isinstance(s, tuple):
            for body in s:
                yield from _lines(body, pad + "    ")
        else:
            yield f"{pad}  {print_schedule(s)}"


def verify_scheduled(scheduled: Scheduled) -> Scheduled:
    """`scheduled` itself, where every schedule fits its group. ScheduleError says what is wrong."""
    for g, s in zip(scheduled.fused.groups, scheduled.schedules, strict=True):
        if isinstance(s, tuple):
            for body in s:
                verify_scheduled(body)
        else:
            s.verify(g)
    return scheduled
