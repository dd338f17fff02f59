"""The tracer of torch's operators: there is none. `ingot.compile` and `ingot.fx.symbolic_trace` trace functions."""

from __future__ import annotations

__all__ = ["get_proxy_mode"]


def get_proxy_mode() -> None:
    """None: no such tracer runs."""
