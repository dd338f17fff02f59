"""Tiles of products that were measured to be the fastest, by generation of GPUs; `python -m benchmarks gpu --tune` writes this file.

Generation -> case (`case_of` of product_choices.py) -> choice (`in_short`). Where there is no entry a rule decides; a choice that is no
candidate any more is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TUNED"]

TUNED: Mapping[str, Mapping[str, str]] = {}
