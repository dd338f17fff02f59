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
    "LazyModuleMixin",
]  # fmt: skip

_UNKNOWN = (UninitializedParameter, UninitializedBuffer)


class LazyModuleMixin:
    """Makes a class of modules whose `initialize_parameters` is called with the arguments of the first call, before `forward`.

    It gives the parameters and buffers that are uninitialized their shapes; a state dict that is loaded before does so, too. Where the
    class says `cls_to_become`, the module is of that class from then on. RuntimeError if some are still without a shape.

        class Scaled(LazyModuleMixin, nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.UninitializedParameter()

            def initialize_parameters(self, x):
                if self.has_uninitialized_params():
                    self.scale.materialize(x.shape[-1:])
                    nn.init.ones_(self.scale)

            def forward(self, x):
                return x * self.scale

    Source: torch.nn.modules.lazy.LazyModuleMixin.
    """

    cls_to_become: Any = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._wait()

    def _wait(self: Any) -> None:
        self._becoming = self.register_forward_pre_hook(_become, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give shapes and values to what has none; what the module is called with says which."""
        raise NotImplementedError(f"{type(self).__name__}: a lazy module needs a method initialize_parameters")

    def has_uninitialized_params(self: Any) -> bool:
        """Whether a parameter or buffer of its own is still without a shape."""
        return any(isinstance(t, _UNKNOWN) for t in (*self._parameters.values(), *self._buffers.values()))

    def _load_from_state_dict(self: Any, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            saved = state_dict.get(prefix + name)
            if isinstance(t, _UNKNOWN) and isinstance(saved, Tensor) and not isinstance(saved, _UNKNOWN):
                with ingot.no_grad():
                    t.materialize(tuple(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]


def _become(module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
    """The first call."""
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"{type(module).__name__}: initialize_parameters left parameters or buffers without a shape")
    module._becoming.remove()
    del module._becoming
    if module.cls_to_become is not None:
        object.__setattr__(module, "__class__", module.cls_to_become)


class _Lazy(LazyModuleMixin, Module):
    """Stands for a module of the class `cls_to_become` until its first call, which knows the size; from then on it is one.

    Its parameters have no shape until then (an optimizer may hold them). A subclass is also a subclass of that class.
    """

    defaults: dict[str, Any] = {}  # where they differ from those of that class

    def __init__(self, *args: Any, **kwargs: Any):
        Module.__init__(self)
        signature = inspect.signature(self.cls_to_become)
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
        self._wait()

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Take the parameters of a module of that size."""
        first = args[0] if args else next(iter(kwargs.values()))
        plain: Any = self.cls_to_become(self._size(first), **self._given)
        for table, made in ((self._parameters, plain._parameters), (self._buffers, plain._buffers)):
            for name, t in table.items():
                if isinstance(t, _UNKNOWN):
                    with ingot.no_grad():
                        t.materialize(tuple(made[name].shape), dtype=made[name].dtype)
                        t.copy_(made[name])
        del self._given
        for name, value in vars(plain).items():
            if not name.startswith("_") and name != "training":
                setattr(self, name, value)

    def reset_parameters(self) -> None:
        """Nothing, until the size is known."""

    def _size(self, input: Tensor) -> int:
        return int(input.shape[-1])

    def extra_repr(self) -> str:
        return self.cls_to_become.extra_repr(self) if not self.has_uninitialized_params() else "size unknown"


class _LazyChannels(_Lazy):
    """The size is that of dim 1 of (N, C, *), or of dim 0 without N."""

    dims: int

    def _size(self, input: Tensor) -> int:
        return int(input.shape[1 if input.ndim == self.dims + 2 else 0])


class _LazyNorm(_Lazy):
    defaults = {"affine": True, "track_running_stats": True}

    def _size(self, input: Tensor) -> int:
        return int(input.shape[1])


def _lazy(becomes: type, base: type[_Lazy], example: str) -> Any:
    name = f"Lazy{becomes.__name__}"
    size = next(iter(inspect.signature(becomes).parameters))
    doc = (
        f"`nn.{becomes.__name__}` without its first argument, `{size}`, which is taken from the first input. It is one from then on.\n\n"
        f"Until then its parameters have no shape, but an optimizer may hold them.\n\n    {example}\n    "
    )
    body = {"cls_to_become": becomes, "__doc__": doc, "__module__": __name__, "forward": becomes.forward}  # type: ignore[attr-defined]
    return type(name, (base, becomes), body)


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
