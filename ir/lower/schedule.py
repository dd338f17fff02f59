"""Schedules: how the kernels of a group run, decided before a line of them is written.

A schedule is a frozen dataclass, one class for each kind of group and target. What writes the loops reads it alone. Its
text stands beside the kernel:

    text = print_schedule(s)           # Nest(axes=((0,), (1,)), vector=1, width=32, chunk=12)
    assert parse_schedule(text) == s
"""

from __future__ import annotations

import ast
from typing import Any

from ingot.ir.lower.group import Group
from ingot.ir.struct import REQUIRED, fields, value_type

__all__ = ["Schedule", "ScheduleError", "at_least_one", "lanes", "parse_schedule", "print_schedule"]

_CLASSES: dict[str, type[Schedule]] = {}
_MAX_TEXT = 4096


class ScheduleError(ValueError):
    """A schedule that is none: text that cannot be read, or decisions that do not fit a group."""


@value_type
class Schedule:
    """The decisions for one group, or a part of them. Fields are integers, bools, tuples, other schedules, or None."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__ in _CLASSES and _CLASSES[cls.__name__].__module__ != cls.__module__:
            raise TypeError(f"there are two schedules of the name {cls.__name__}")
        _CLASSES[cls.__name__] = cls

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""

    def __str__(self) -> str:
        return print_schedule(self)


def at_least_one(**fields: int) -> None:
    """Raise ScheduleError unless every one is a positive integer."""
    for name, value in fields.items():
        if type(value) is not int or value < 1:
            raise ScheduleError(f"a schedule with {name} {value!r}")


def lanes(width: int) -> None:
    """Raise ScheduleError unless a vector loop may have this width."""
    at_least_one(width=width)
    if width & (width - 1):
        raise ScheduleError(f"a schedule with width {width}, which is no power of two")


def print_schedule(s: Schedule) -> str:
    """The text of a schedule, without the fields that have their defaults."""
    parts = []
    for name, default in fields(s).items():
        value = getattr(s, name)
        if default is REQUIRED or value != default:
            parts.append(f"{name}={print_schedule(value) if isinstance(value, Schedule) else repr(value)}")
    return f"{type(s).__name__}({', '.join(parts)})"


def parse_schedule(text: str) -> Schedule:
    """The schedule that a text describes. ScheduleError says what is wrong with it."""
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError("the text is too long")
        found = _read(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as e:
        raise ScheduleError(f"{text[:80]!r} is no schedule: {e}") from None
    if not isinstance(found, Schedule):
        raise ScheduleError(f"{text[:80]!r} is no schedule")
    return found


def _read(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not isinstance(node.func, ast.Name) or node.args or node.func.id not in _CLASSES:
        raise ValueError("no such schedule")
    return _CLASSES[node.func.id](**{k.arg or "": _read(k.value) for k in node.keywords})
