"""Artifacts: a compiled model in one file. See docs/artifact.md.

The loading half (all but `export`) imports numpy and the standard library only.
"""

from ingot.runtime.artifact.container import ArtifactError
from ingot.runtime.artifact.model import Model, load

__all__ = ["ArtifactError", "Model", "load"]
