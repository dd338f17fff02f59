"""Attributes under one set of names: those that operations of portable bytecode have, where nothing is within anything."""

from __future__ import annotations

from typing import Any

from ingot.interchange.stablehlo.module import Dense, Type

__all__ = ["flat"]

_WITHIN = frozenset(
    ("dot_dimension_numbers", "dimension_numbers", "scatter_dimension_numbers", "algorithm", "ragged_dot_dimension_numbers")
)


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
        elif isinstance(value, Dense) and value.type.element in ("i64", "i1") and len(value.type.shape or ()) == 1:
            out[name] = value.array.tolist() if name != "value" else value
        else:
            out[name] = value
    return out
