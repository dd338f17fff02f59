"""StableHLO: programs of JAX and of other compilers are read and run like any function.

    f = ingot.stablehlo.load(jax.jit(fn).lower(*args).as_text())      # text, bytecode, what jax.export serializes, or a path
    f(*arrays)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot.interchange.stablehlo.model import StablehloModule

__all__ = ["StablehloError", "StablehloModule", "load"]


def load(source: str | bytes | os.PathLike[str]) -> StablehloModule:
    """A program as a callable module.

    source: text, in the pretty form or the generic one; portable bytecode; what `jax.export`'s `serialize()` gives; or the path of a file
    of any of these. A text is a path where it has neither a line break nor a bracket.

    Nothing in it is executed before it is called. StablehloError, with line and column or byte, for what cannot be read; OSError for a
    file that cannot be opened.

    >>> f = ingot.stablehlo.load('''
    ... func.func @main(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<3xf32> {
    ...   %0 = stablehlo.multiply %x, %y : tensor<3xf32>
    ...   return %0 : tensor<3xf32>
    ... }''')
    >>> f(ingot.tensor([1.0, 2.0, 3.0]), ingot.tensor([2.0, 2.0, 2.0]))
    tensor([2., 4., 6.])
    """
    from ingot.interchange.stablehlo.model import load as read

    return read(source)


def __getattr__(name: str) -> object:
    if name == "StablehloError":
        from ingot.interchange.stablehlo.module import StablehloError

        return StablehloError
    if name == "StablehloModule":
        from ingot.interchange.stablehlo.model import StablehloModule

        return StablehloModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
