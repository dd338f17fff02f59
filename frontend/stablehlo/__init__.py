"""StableHLO: programs of JAX and of other compilers are read and run like any function, and functions are written as such programs.

    f = ingot.stablehlo.load(jax.jit(fn).lower(*args).as_text())      # text, bytecode, what jax.export serializes, or a path
    f(*arrays)

    text = ingot.stablehlo.export(fn, args)     # what JAX compiles, and other compilers
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot.interchange.stablehlo.model import StablehloModule

__all__ = ["StablehloError", "StablehloModule", "export", "load"]


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


def export(
    model: Any, args: Any = (), f: str | os.PathLike[str] | None = None, *, kwargs: dict[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> str:  # fmt: skip
    """A function or Module as the text of a StableHLO program, in the generic form, which every version of MLIR reads.

    args: the example inputs, a tuple of tensors, arrays, and structures of them; a function of one tensor takes it as it is.
    f: where to write it, too.
    kwargs: more arguments, by name.
    dynamic_shapes: sizes that vary, as torch.export takes them: for each argument a dict by dim, or a tuple, of `ingot.Dim`s.

    The program has one function, `main`, which takes the tensors among the arguments, in order, and gives the results; weights are in it.
    Sizes that vary are question marks in its types, and what is computed of them is part of it.
    Nothing is compiled. A training step exports as well as a model does: return the gradients, or the new parameters.

    RuntimeError for what draws random numbers or changes captured tensors (call `eval()` first), and for what StableHLO has nothing
    for; CaptureError, with the user's line, for what cannot be traced; OSError where the file cannot be written.

    >>> text = ingot.stablehlo.export(lambda x: ingot.tanh(x) * 2, (ingot.zeros(3),))
    >>> ingot.stablehlo.load(text)(ingot.zeros(3))
    tensor([0., 0., 0.])
    """
    from ingot.interchange.stablehlo.export import program

    text = program(model, args, kwargs or {}, dynamic_shapes)
    if f is not None:
        from ingot.runtime.cache.files import replace

        replace(os.fspath(f), text.encode(), durable=True)
    return text


def __getattr__(name: str) -> object:
    if name == "StablehloError":
        from ingot.interchange.stablehlo.module import StablehloError

        return StablehloError
    if name == "StablehloModule":
        from ingot.interchange.stablehlo.model import StablehloModule

        return StablehloModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
