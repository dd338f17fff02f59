"""What products of float32 may be computed in on GPUs: the process's setting, in torch's words."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["BEFORE_CHANGE", "PRODUCTS", "WORDS", "rounds", "set_products"]

WORDS = ("highest", "high", "medium")
PRODUCTS = ["highest"]  # a list, so that readers can hold on to it
BEFORE_CHANGE: list[Callable[[], None]] = []  # what is to be done first: work that was asked for before is computed as it was then


def rounds() -> bool:
    """Whether operands may be rounded to TF32."""
    return PRODUCTS[0] != "highest"


def set_products(precision: str) -> None:
    """Set it. ValueError for no such word."""
    if precision not in WORDS:
        raise ValueError(f"the precision of products is 'highest', 'high' or 'medium', not {precision!r}")
    if precision != PRODUCTS[0]:
        for first in BEFORE_CHANGE:
            first()
        PRODUCTS[0] = precision
