"""`ingot.export` and `ingot.load`: a model as one file, for processes without a compiler.

    ingot.export(model, (x,), "model.ingot")
    model = ingot.load("model.ingot")
    y = model(x)                      # x may be a NumPy array or a tensor
"""

from __future__ import annotations

import os
from typing import IO, Any

from ingot.runtime.artifact.container import ArtifactError, is_artifact
from ingot.runtime.artifact.model import load as load_artifact

__all__ = ["ArtifactError", "load"]


def load(f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None) -> Any:
    """Open a file that `ingot.export` or `ingot.save` wrote.

    Of an artifact it makes an object to call as the function or module that was exported: it takes NumPy arrays or
    tensors of the shapes and dtypes of its `signature` and returns the like. The weights are mapped from the file, not
    copied. Neither a compiler nor the model's source is needed. Of a state dict it makes the dict again, see
    `ingot.serialization.load`, which the other arguments are for.

    ArtifactError says in one line why an artifact is refused: damaged, too new, or for another CPU. OSError where the
    file cannot be read.

    >>> model = ingot.load("digits.ingot")
    >>> model(numpy.zeros((1, 1, 8, 8), numpy.float32)).argmax()
    """
    if isinstance(f, (str, os.PathLike)) and is_artifact(f):
        return load_artifact(f)
    from ingot import serialization

    return serialization.load(f, map_location, weights_only=weights_only, mmap=mmap)
