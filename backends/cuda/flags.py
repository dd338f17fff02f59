"""torch's switches of CUDA's libraries, which are not used: they can be set, and are what they were set to. `matmul.allow_tf32` counts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from ingot.ir.precision import rounds, set_products

__all__ = [
    "cudnn_sdp_enabled", "cufft_plan_cache", "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp", "enable_mem_efficient_sdp",
    "flash_sdp_enabled", "is_built", "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled", "sdp_kernel",
]  # fmt: skip



class _Products:
    """How products are computed. Those of halves sum in float32, whatever is set."""

    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False

    @property
    def allow_tf32(self) -> bool:
        """Whether products of float32 may round their operands to TF32: the same setting as `set_float32_matmul_precision`."""
        return rounds()

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        if bool(value) != rounds():
            set_products("high" if value else "highest")


matmul = _Products()
cufft_plan_cache = SimpleNamespace(size=0, max_size=0)
_ATTENTION = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """False: tensors cannot live on a GPU."""
    return False


def _asked(kind: str) -> tuple[Callable[[], bool], Callable[[bool], None]]:
    def enabled() -> bool:
        """As it was set; attention is one computation here."""
        return _ATTENTION[kind]

    def enable(enabled: bool) -> None:
        """Set what is read; attention is one computation here."""
        _ATTENTION[kind] = enabled

    return enabled, enable


flash_sdp_enabled, enable_flash_sdp = _asked("flash")
mem_efficient_sdp_enabled, enable_mem_efficient_sdp = _asked("mem_efficient")
math_sdp_enabled, enable_math_sdp = _asked("math")
cudnn_sdp_enabled, enable_cudnn_sdp = _asked("cudnn")


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """A block in which kinds of attention are asked for; it is one computation here."""
    before = dict(_ATTENTION)
    _ATTENTION.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _ATTENTION.update(before)
