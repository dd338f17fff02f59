"""`ingot.export` and `ingot.load`: a model as one file, for processes without a compiler.

    ingot.export(model, (x,), "model.ingot")
    model = ingot.load("model.ingot")
    y = model(x)                      # x may be a NumPy array or a tensor
"""

from __future__ import annotations

import os
from typing import Any

from ingot.runtime.artifact.container import ArtifactError
from ingot.runtime.artifact.model import Model
from ingot.runtime.artifact.model import load as _load

__all__ = ["ArtifactError", "Model", "export", "load"]


def load(path: str | os.PathLike[str]) -> Model:
    """Open an artifact that `export` wrote: an object to call as the function or module that was exported.

    It takes NumPy arrays or tensors of the shapes and dtypes of `model.signature` and returns the like. The weights
    are mapped from the file, not copied. Neither a compiler nor the model's source is needed.

    ArtifactError says in one line why a file is refused: damaged, foreign, too new, or for another CPU. OSError where
    it cannot be read.

    >>> model = ingot.load("digits.ingot")
    >>> model(numpy.zeros((1, 1, 8, 8), numpy.float32)).argmax()
    """
    return _load(path)
