"""Anomaly mode: backward stops at the first node whose gradients are NaN, with the line of its forward."""

from __future__ import annotations

from typing import Any

from ingot.runtime import backward

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class detect_anomaly:
    """Within the block, a NaN that a backward step makes is an error which names the operation and its line.

    Slow: each step runs at once.
    """

    def __init__(self, check_nan: bool = True):
        self._before = backward.anomaly[0]
        self._mode = check_nan

    def __enter__(self) -> None:
        self._before = backward.anomaly[0]
        backward.anomaly[0] = self._mode

    def __exit__(self, *exc: Any) -> None:
        backward.anomaly[0] = self._before


class set_detect_anomaly(detect_anomaly):
    """Turn anomaly mode on or off at once; as a context manager, until the end of the block."""

    def __init__(self, mode: bool, check_nan: bool = True):
        super().__init__(mode and check_nan)
        backward.anomaly[0] = self._mode

    def __enter__(self) -> None:
        pass
