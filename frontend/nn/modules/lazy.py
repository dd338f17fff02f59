"""Modules whose input size is that of the first input they see."""

from __future__ import annotations

import inspect
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules import conv, linear, normalization
from ingot.nn.modules.module import Module
from ingot.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d",
    "LazyConvTranspose2d", "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear",
]  # fmt: skip

_UNKNOWN = (UninitializedParameter, UninitializedBuffer)


class _Lazy(Module):
    """Stands for a module of the class `becomes` until its first call, which knows the size; from then on it is one.

    Its parameters have no shape until then (an optimizer may hold them). A subclass is also a subclass of `becomes`.
    """

    becomes: type
    defaults: dict[str, Any] = {}  # where they differ from those of `becomes`

    def __init__(self, *args: Any, **kwargs: Any):
        Module.__init__(self)
        signature = inspect.signature(self.becomes)
        size, *others = signature.parameters.values()
        rest = [p.replace(default=self.defaults.get(p.name, p.default)) for p in others]
        try:
            given = signature.replace(parameters=rest).bind(*args, **kwargs)
        except TypeError as e:
            raise TypeError(f"{type(self).__name__}(): {e}") from None
        given.apply_defaults()
        self._given = dict(given.arguments)
        for name, value in self._given.items():
            if name not in ("bias", "device", "dtype"):
                setattr(self, name, value)
        setattr(self, size.name, 0)
        dtype = self._given.get("dtype")
        has_weight = self._given.get("affine", True)
        has_bias = has_weight and self._given.get("bias", True)
        self.register_parameter("weight", UninitializedParameter(dtype=dtype) if has_weight else None)
        self.register_parameter("bias", UninitializedParameter(dtype=dtype) if has_bias else None)
        if "track_running_stats" in self._given:
            tracked = self._given["track_running_stats"]
            self.register_buffer("running_mean", UninitializedBuffer(dtype=dtype) if tracked else None)
            self.register_buffer("running_var", UninitializedBuffer(dtype=dtype) if tracked else None)
            self.register_buffer("num_batches_tracked", ingot.tensor(0, dtype=ingot.int64) if tracked else None)
        self._becoming = self.register_forward_pre_hook(_become, with_kwargs=True)

    def has_uninitialized_params(self) -> bool:
        """Whether the size is still unknown."""
        return any(isinstance(t, _UNKNOWN) for t in (*self._parameters.values(), *self._buffers.values()))

    def reset_parameters(self) -> None:
        """Nothing, until the size is known."""

    def _size(self, input: Tensor) -> int:
        return int(input.shape[-1])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            saved = state_dict.get(prefix + name)
            if isinstance(t, _UNKNOWN) and isinstance(saved, Tensor) and not isinstance(saved, _UNKNOWN):
                with ingot.no_grad():
                    t.materialize(tuple(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return self.becomes.extra_repr(self) if not self.has_uninitialized_params() else "size unknown"  # type: ignore[attr-defined]


class _LazyChannels(_Lazy):
    """The size is that of dim 1 of (N, C, *), or of dim 0 without N."""

    dims: int

    def _size(self, input: Tensor) -> int:
        return int(input.shape[1 if input.ndim == self.dims + 2 else 0])


class _LazyNorm(_Lazy):
    defaults = {"affine": True, "track_running_stats": True}

    def _size(self, input: Tensor) -> int:
        return int(input.shape[1])


def _become(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
    """The first call: the module becomes what it stands for."""
    first = args[0] if args else next(iter(kwargs.values()))
    plain = module.becomes(module._size(first), **module._given)
    for table, made in ((module._parameters, plain._parameters), (module._buffers, plain._buffers)):
        for name, t in table.items():
            if isinstance(t, _UNKNOWN):
                with ingot.no_grad():
                    t.materialize(tuple(made[name].shape), dtype=made[name].dtype)
                    t.copy_(made[name])
    module._becoming.remove()
    del module._becoming, module._given
    for name, value in vars(plain).items():
        if not name.startswith("_") and name != "training":
            setattr(module, name, value)
    object.__setattr__(module, "__class__", module.becomes)


def _lazy(becomes: type, base: type[_Lazy], example: str) -> Any:
    name = f"Lazy{becomes.__name__}"
    size = next(iter(inspect.signature(becomes).parameters))
    doc = (
        f"`nn.{becomes.__name__}` without its first argument, `{size}`, which is taken from the first input. It is one from then on.\n\n"
        f"Until then its parameters have no shape, but an optimizer may hold them.\n\n    {example}\n    "
    )
    return type(name, (base, becomes), {"becomes": becomes, "__doc__": doc, "__module__": __name__, "forward": becomes.forward})  # type: ignore[attr-defined]


def _example(call: str, shape: str) -> str:
    return f">>> layer = nn.{call}\n    >>> layer({shape}).shape == layer({shape}).shape\n    True"


LazyLinear = _lazy(linear.Linear, _Lazy, _example("LazyLinear(2)", "ingot.ones(3, 4)"))
LazyConv1d = _lazy(conv.Conv1d, _LazyChannels, _example("LazyConv1d(2, 3)", "ingot.ones(1, 3, 8)"))
LazyConv2d = _lazy(conv.Conv2d, _LazyChannels, _example("LazyConv2d(2, 3)", "ingot.ones(1, 3, 8, 8)"))
LazyConv3d = _lazy(conv.Conv3d, _LazyChannels, _example("LazyConv3d(2, 3)", "ingot.ones(1, 3, 4, 4, 4)"))
LazyConvTranspose1d = _lazy(conv.ConvTranspose1d, _LazyChannels, _example("LazyConvTranspose1d(2, 3)", "ingot.ones(1, 3, 8)"))
LazyConvTranspose2d = _lazy(conv.ConvTranspose2d, _LazyChannels, _example("LazyConvTranspose2d(2, 3)", "ingot.ones(1, 3, 8, 8)"))
LazyConvTranspose3d = _lazy(conv.ConvTranspose3d, _LazyChannels, _example("LazyConvTranspose3d(2, 3)", "ingot.ones(1, 3, 4, 4, 4)"))
LazyBatchNorm1d = _lazy(normalization.BatchNorm1d, _LazyNorm, _example("LazyBatchNorm1d()", "ingot.ones(2, 3)"))
LazyBatchNorm2d = _lazy(normalization.BatchNorm2d, _LazyNorm, _example("LazyBatchNorm2d()", "ingot.ones(2, 3, 4, 4)"))
LazyBatchNorm3d = _lazy(normalization.BatchNorm3d, _LazyNorm, _example("LazyBatchNorm3d()", "ingot.ones(2, 3, 4, 4, 4)"))
LazyInstanceNorm1d = _lazy(normalization.InstanceNorm1d, _LazyNorm, _example("LazyInstanceNorm1d()", "ingot.ones(2, 3, 8)"))
LazyInstanceNorm2d = _lazy(normalization.InstanceNorm2d, _LazyNorm, _example("LazyInstanceNorm2d()", "ingot.ones(2, 3, 4, 4)"))
LazyInstanceNorm3d = _lazy(normalization.InstanceNorm3d, _LazyNorm, _example("LazyInstanceNorm3d()", "ingot.ones(2, 3, 4, 4, 4)"))
