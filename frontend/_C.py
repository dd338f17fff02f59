"""The names of torch._C that libraries ask for when they are imported: answers of a framework that has no dispatch by keys, and no JIT."""

from __future__ import annotations

from typing import Any

from ingot._refused import refused_class
from ingot._tensor import Tensor
from ingot._tensor.overriding import DisableTorchFunctionSubclass
from ingot._tensor.overriding import disabled_torch_function as _disabled_torch_function_impl
from ingot.runtime.recorder import here

_NO_GRAPHS = "TorchScript's graphs are not made here"
Block, Graph, Node, Value = (refused_class(f"_C.{name}", _NO_GRAPHS) for name in ("Block", "Graph", "Node", "Value"))
__all__ = ["DispatchKey", "DispatchKeySet", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]


_TensorMeta = type(Tensor)


class _nn:
    """What torch._C._nn has."""

    @staticmethod
    def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
        """(device, dtype, non_blocking, memory_format) of what `Tensor.to` is given."""
        from ingot._tensor.devices import as_device
        from ingot.nn.modules.arguments import parse_to

        place, dtype, non_blocking = parse_to(args, kwargs)
        return None if place is None else as_device(place), dtype, non_blocking, kwargs.get("memory_format")


class _Keys:
    """Any name is a key."""

    def __getattr__(self, name: str) -> str:
        return name


DispatchKey = _Keys()


class DispatchKeySet(frozenset):
    """A set of keys."""

    def __new__(cls, *keys: Any) -> DispatchKeySet:
        return super().__new__(cls, keys)


class _ExcludeDispatchKeyGuard:
    """A block without effect."""

    def __init__(self, keys: Any) -> None:
        self.keys = keys

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


def _get_tracing_state() -> None:
    """None: no TorchScript is traced."""


def _is_tracing() -> bool:
    """False, likewise."""
    return False


def _log_api_usage_once(event: str) -> None:
    """Nothing."""


def _jit_set_profiling_executor(on: bool) -> bool:
    """False: there is none."""
    return False


_jit_set_profiling_mode = _jit_set_texpr_fuser_enabled = _jit_set_nvfuser_enabled = _jit_set_profiling_executor
_jit_override_can_fuse_on_cpu = _jit_override_can_fuse_on_gpu = _jit_set_nvfuser_guard_mode = _jit_set_profiling_executor
_set_math_sdp_allow_fp16_bf16_reduction = _jit_set_profiling_executor


def _jit_can_fuse_on_cpu() -> bool:
    """False: there is no JIT that fuses. What is recorded, or compiled, fuses by itself."""
    return False


_jit_can_fuse_on_gpu = _jit_can_fuse_on_cpu


def _are_functorch_transforms_active() -> bool:
    """Whether a function of `ingot.func` runs: grad, vmap and their like."""
    return bool(here.recorder.level)


def _get_privateuse1_backend_name() -> str:
    """The name of a device that others add: none was."""
    return "privateuseone"


def _get_default_device() -> str:
    """The name of the device on which tensors are made."""
    from ingot.process import get_default_device

    return str(get_default_device())
