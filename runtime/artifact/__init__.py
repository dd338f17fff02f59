"""Artifacts: a compiled model in one file. See docs/artifact.md.

The loading half (container, tensors, tree, host, model) imports numpy and the standard library only; this module nothing, until
`Model` or `load` is asked for: the command line looks at caches without numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingot.runtime.artifact.container import ArtifactError

if TYPE_CHECKING:
    from ingot.runtime.artifact.model import Model, load

__all__ = ["ArtifactError", "Model", "load"]


def __getattr__(name: str) -> Any:
    if name in ("Model", "load"):
        from ingot.runtime.artifact import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
