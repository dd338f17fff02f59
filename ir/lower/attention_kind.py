"""Attention on CPUs as a kind of group: what a softmax is a factor of in one kernel, its gradients in another."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node
from ingot.ir.lower import attention_panels, attention_rows
from ingot.ir.lower.attention_schedule import AttentionPanels, AttentionRows, choose, takes
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.target import Kind

__all__ = ["ATTENTION"]


def _emit(group: Group, s: AttentionRows | AttentionPanels, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    if any(0 in v.type.shape for v in group.outputs):
        return []
    return [attention_rows.written(group, s, check) if isinstance(s, AttentionRows) else attention_panels.written(group, s, check)]


ATTENTION = Kind(choose, _emit, takes)
