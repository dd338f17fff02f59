"""`ingot.export` and `ingot.load`: a model as one file, for processes without a compiler.

    ingot.export(model, (x,), "model.ingot")
    model = ingot.load("model.ingot")
    y = model(x)                      # x may be a NumPy array or a tensor
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from ingot.runtime.artifact.container import ArtifactError, is_artifact

__all__ = ["ArtifactError", "at_path", "export", "load"]


def export(
    fn_or_module: Any, example_inputs: Any, path: str | os.PathLike[str], *, dynamic_shapes: Any = None,
    targets: Sequence[str] | None = None, golden: bool = True,
) -> None:  # fmt: skip
    """Compile a function or Module for the shapes of `example_inputs` and write it, with its weights, as one file.

    example_inputs: a tuple of the arguments (or the only one): tensors or NumPy arrays, also nested in tuples, lists and dicts;
        numbers and strings among them are fixed.
    dynamic_shapes: dims of which any size within bounds will do, as torch.export takes them: by argument, as in {"x": {0: Dim("batch",
        max=64)}} or ({0: batch}, None), nested as the arguments are; other dims are those of the example.
    targets: levels of CPUs and GPUs to compile for, as in ("x86-64-v3", "x86-64-v4", "sm_90a"); this CPU's where None. `ingot doctor`
        lists them. None of them need run here: an x86-64 machine exports for "aarch64", and one without a GPU for "sm_80". Code for GPUs
        is launched by processors of this machine's kind.
    golden: keep the example inputs and their results in the file, for `ingot verify --run`.

    Tensors that are captured (parameters, buffers) become the artifact's weights. The file gets its name when it is whole
    and was read again: whatever fails before, the old one of that name stays.

    RuntimeError for what an artifact cannot do: draw random numbers or change captured tensors (call `eval()` first);
    CaptureError, with the user's line, for what cannot be compiled, or not for all sizes that are allowed; TypeError for
    arguments that no file can hold; ValueError for a target that there is not, dynamic_shapes that do not fit the arguments, or
    a weight whose name could be taken for another path; OSError where the file cannot be written.

    >>> model, x = nn.Linear(4, 2), ingot.zeros(1, 4)
    >>> ingot.export(model.eval(), (x,), "model.ingot")
    >>> ingot.load("model.ingot")(x.numpy()).shape
    (1, 2)
    >>> ingot.export(model, (x,), "model.ingot", dynamic_shapes={"input": {0: ingot.Dim("batch", max=64)}})
    >>> ingot.load("model.ingot")(np.zeros((7, 4), np.float32)).shape
    (7, 2)
    """
    from ingot.capture import export

    export.export(fn_or_module, example_inputs, path, dynamic_shapes=dynamic_shapes, targets=targets, golden=golden)


def load(f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None) -> Any:
    """Open a file that `ingot.export`, `ingot.save` or `torch.save` wrote.

    Of an artifact it makes an object to call as the function or module that was exported: it takes NumPy arrays or
    tensors of the shapes and dtypes of its `signature` and returns the like. It runs on the device that `map_location` names, else by the
    first of its targets that this machine has; with tensors on a GPU come results there. The weights are mapped from the file, not
    copied; above 16 MB they are compared with their checksum before the first call, which reads all of them. Neither a
    compiler nor the model's source is needed. Of a state dict it makes the dict again, see
    `ingot.serialization.load`, which the other arguments are for.

    ArtifactError says in one line why an artifact is refused: damaged, too new, or for another CPU. OSError where the
    file cannot be read.

    >>> ingot.export(ingot.tanh, ingot.zeros(3), "tanh.ingot")
    >>> model = ingot.load("tanh.ingot")
    >>> model.signature
    '(input: float32[3]) -> (output: float32[3])'
    >>> model(np.zeros(3, np.float32))
    array([0., 0., 0.], dtype=float32)
    """
    if isinstance(f, (str, os.PathLike)) and is_artifact(f):
        from ingot.runtime.artifact import model

        if map_location is None:
            return model.load(f)
        from ingot.serialization import place

        return model.load(f, str(place("cpu", map_location)))
    from ingot import serialization

    return serialization.load(f, map_location, weights_only=weights_only, mmap=mmap)


@contextmanager
def at_path(f: str | os.PathLike[str] | IO[bytes], mode: str) -> Iterator[str | os.PathLike[str]]:
    """The path of `f`; of a binary file, that of a temporary one with its bytes ("rb"), or whose bytes it gets afterwards ("wb")."""
    if isinstance(f, (str, os.PathLike)):
        yield f
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.ingot")
        if mode == "rb":
            with open(path, "wb") as out:
                out.write(f.read())
        yield path
        if mode == "wb":
            with open(path, "rb") as made:
                f.write(made.read())
