"""`load_url`, the old name of `ingot.hub.load_state_dict_from_url`."""

from __future__ import annotations

from typing import Any

from ingot import hub
from ingot.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]


def __getattr__(name: str) -> Any:
    if name == "tqdm":  # libraries take it from here
        return hub.tqdm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
