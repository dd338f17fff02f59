"""Weights of convolutions in another order of memory."""

from __future__ import annotations

from typing import Any, TypeVar

from ingot.nn.modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from ingot.nn.modules.module import Module

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

M = TypeVar("M", bound=Module)


def _converted(module: Module, memory_format: Any, kinds: tuple[type, ...]) -> Any:
    for m in module.modules():
        if isinstance(m, kinds):
            m.weight.data = m.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Give the weights of all two-dimensional convolutions in `module` a memory format. Compiled code chooses its own. Returns `module`.

    >>> layer = nn.utils.convert_conv2d_weight_memory_format(nn.Conv2d(2, 3, 1), ingot.contiguous_format)
    """
    return _converted(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """`convert_conv2d_weight_memory_format` for three-dimensional convolutions.

    >>> layer = nn.utils.convert_conv3d_weight_memory_format(nn.Conv3d(2, 3, 1), ingot.contiguous_format)
    """
    return _converted(module, memory_format, (Conv3d, ConvTranspose3d))
