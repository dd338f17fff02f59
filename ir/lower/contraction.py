"""Tiled contractions."""

from ingot.ir.graph import Node


def tiles(node: Node) -> bool:
    """Whether a contraction is lowered to packed register tiles (else to a small loop at each point)."""
    return False
