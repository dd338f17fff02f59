"""Attributes under one set of names: those that operations of portable bytecode have, where nothing is within anything."""

from __future__ import annotations

from typing import Any

from ingot.interchange.stablehlo.module import Dense, Type

__all__ = ["flat"]

_WITHIN = frozenset(
    ("dot_dimension_numbers", "dimension_numbers", "scatter_dimension_numbers", "algorithm", "ragged_dot_dimension_numbers")
)
_LONGEST = 1024  # a list: dims, or what stands for each of them


def flat(attrs: dict[str, Any]) -> dict[str, Any]:
    """Structures spread out; vectors of integers as lists."""
    out: dict[str, Any] = {}
    for name, value in attrs.items():
        if isinstance(value, Type) and value.kind == "none":
            continue  # bytecode's way to leave out
        if name in _WITHIN and isinstance(value, dict):
            out |= value
        elif name == "channel_handle" and isinstance(value, dict):
            out |= {"channel_id": value.get("handle", 0), "channel_type": value.get("type", 0)}
        elif isinstance(value, Dense) and name != "value" and _is_list(value):
            out[name] = value.array.tolist()
        else:
            out[name] = value
    return out


def _is_list(value: Dense) -> bool:
    """Whether a tensor is a vector of a few integers or booleans."""
    return value.type.element in ("i64", "i1") and len(value.type.shape or ()) == 1 and value.array.size <= _LONGEST
