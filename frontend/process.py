"""What users may set for the process: threads, kept memory, determinism, the default device."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.devices import CPU, choose, chosen, device
from ingot._tensor.metadata import set_default_dtype
from ingot.ir.precision import PRODUCTS, set_products
from ingot.runtime.memory import empty_cache, memory_stats
from ingot.runtime.threads import get_num_threads, set_num_threads

__all__ = [
    "get_num_threads", "set_num_threads", "empty_cache", "memory_stats", "use_deterministic_algorithms",
    "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled", "set_float32_matmul_precision",
    "get_float32_matmul_precision", "set_num_interop_threads", "get_num_interop_threads", "set_flush_denormal", "set_default_device",
    "get_default_device", "set_default_tensor_type", "typename",
]  # fmt: skip


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted for torch's sake: Ingot's results are the same bits on every run, whatever is set here.

    >>> ingot.use_deterministic_algorithms(True)
    """


def are_deterministic_algorithms_enabled() -> bool:
    """True: Ingot has no others.

    >>> ingot.are_deterministic_algorithms_enabled()
    True
    """
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: nothing is nondeterministic, so there is nothing to warn of.

    >>> ingot.is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return False


# ---- products of float32 on GPUs


def set_float32_matmul_precision(precision: str) -> None:
    """What matrix products and convolutions of float32 may be computed in on GPUs: "highest" is float32; "high" and "medium" allow
    operands to be rounded to TF32, which has ten bits of fraction, and sum in float32. What is compiled already is compiled again for
    another setting. Products on the CPU are of float32 whatever is set. ValueError for no such precision.

    >>> ingot.set_float32_matmul_precision("high")
    >>> ingot.get_float32_matmul_precision()
    'high'
    >>> ingot.set_float32_matmul_precision("highest")
    """
    set_products(precision)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given last; "highest" at first.

    >>> ingot.get_float32_matmul_precision()
    'highest'
    """
    return PRODUCTS[0]


# ---- how threads are asked for elsewhere: nothing here depends on it, and what was set is what is read

_ASKED: dict[str, Any] = {"interop": 1}


def set_num_interop_threads(n: int) -> None:
    """Accepted for torch's sake: Ingot runs one operation after the other, on `get_num_threads()` threads. RuntimeError unless n > 0."""
    if not isinstance(n, int) or n <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _ASKED["interop"] = n


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was given last; 1 at first."""
    return int(_ASKED["interop"])


def set_flush_denormal(mode: bool) -> bool:
    """Whether denormal numbers are flushed to zero as asked: they are always kept, so only `False` gives True.

    >>> ingot.set_flush_denormal(True)
    False
    """
    return not mode


def set_default_device(device: Any) -> None:
    """Where this thread's new tensors live that say nothing else: "cpu", "meta", or None for the CPU. RuntimeError for another device.

    >>> ingot.set_default_device("cpu")
    >>> ingot.set_default_device(None)
    """
    choose(device)


def get_default_device() -> device:
    """Where this thread's new tensors live that say nothing else: what a block or `set_default_device` says, or the CPU.

    >>> ingot.get_default_device()
    device(type='cpu')
    """
    return chosen() or CPU


def typename(o: Any) -> str:
    """The name of an object's type, with its module; of a tensor that of its legacy type.

    >>> ingot.typename(nn.Linear(1, 1)), ingot.typename(ingot.ones(1))
    ('ingot.nn.modules.linear.Linear', 'ingot.FloatTensor')
    """
    if isinstance(o, Tensor):
        return str(o.type())
    found = o if isinstance(o, type) else type(o)
    return found.__qualname__ if found.__module__ == "builtins" else f"{found.__module__}.{found.__qualname__}"


def set_default_tensor_type(t: Any) -> None:
    """The dtype of new floating tensors, by a legacy type such as `ingot.DoubleTensor`, or its name. Prefer `set_default_dtype`.

    RuntimeError for a type that lives on a GPU, TypeError for one that is not floating.

    >>> ingot.set_default_tensor_type(ingot.FloatTensor)
    """
    if isinstance(t, str):
        from ingot.functions import legacy

        path, _, name = t.rpartition(".")
        if path.endswith("cuda"):
            raise RuntimeError(f"type {t} not available: no CUDA device is available; tensors live on 'cpu'")
        t = getattr(legacy, name, t)
    dtype = getattr(t, "dtype", None)
    if dtype is None or dtype.kind != "f":
        raise TypeError(f"invalid type object: {t!r}: only floating-point types are supported as the default type")
    set_default_dtype(dtype)
