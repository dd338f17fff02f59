"""Convolutional networks, and single convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks import networks
from benchmarks.workloads import SGD, Workload, classes, normal

__all__ = ["CONVOLUTIONS"]

RESNET18_MACS, MOBILENET_V2_MACS = 1_814e6, 301e6  # of an image of 224 x 224
RESNET18_SMALL_MACS = 556e6  # of one of 32 x 32, which nothing makes smaller before the first block


def _resnet18_small(T: Any) -> Any:
    """ResNet-18 as it is trained on images of 32 x 32: its first convolution is 3 x 3, and no pool follows."""
    model = networks.resnet18(T)
    model[0], model[3] = T.nn.Conv2d(3, 64, 3, 1, 1, bias=False), T.nn.Identity()
    return model


def _single(
    name: str, i: int, o: int, size: int | tuple[int, ...], kernel: int, stride: int = 1, groups: int = 1, batch: int = 1,
    dilation: int = 1, transposed: bool = False,
) -> Workload:  # fmt: skip
    """One convolution without a bias, its input and its output as users have them. `size`: of an image, or of each dim."""
    sizes = size if isinstance(size, tuple) else (size, size)
    dims, padding = len(sizes), dilation * (kernel - 1) // 2
    out = [d * stride if transposed else (d - 1) // stride + 1 for d in sizes]
    what = "x".join([str(kernel)] * dims) + " transposed" * transposed + f" dilated by {dilation}" * (dilation > 1)
    what = f"depthwise {what}" if groups == i else f"{what} in {groups} groups" if groups > 1 else what
    title = f"convolution {what}, {i} to {o} channels on {' x '.join(map(str, sizes))}, stride {stride}, batch {batch}"

    def model(T: Any) -> Any:
        if transposed:
            return getattr(T.nn, f"ConvTranspose{dims}d")(i, o, kernel, stride, padding, bias=False)
        return getattr(T.nn, f"Conv{dims}d")(i, o, kernel, stride, padding, dilation, groups, bias=False)

    flops = 2.0 * batch * o * (i // groups) * kernel**dims * math.prod(sizes if transposed else out)
    return Workload(f"conv_kernel_{name}", title, model, normal((batch, i, *sizes)), flops=flops, table="conv_kernels")


def _network(name: str, title: str, model: Callable[[Any], Any], batch: int, size: int, macs: float) -> Workload:
    flops = 2.0 * macs * batch
    return Workload(f"conv_{name}", f"{title}, inference, batch {batch}", model, normal((batch, 3, size, size)), flops=flops, table="conv")


CONVOLUTIONS: tuple[Workload, ...] = (
    _network("mobilenet_v2_b1", "MobileNetV2", networks.mobilenet_v2, 1, 224, MOBILENET_V2_MACS),
    _network("resnet18_b1", "ResNet-18", networks.resnet18, 1, 224, RESNET18_MACS),
    _network("resnet18_b16", "ResNet-18", networks.resnet18, 16, 224, RESNET18_MACS),
    _network("unet", "small U-Net, 128 x 128", networks.unet, 1, 128, 0.0),
    Workload("conv_resnet18_train", "ResNet-18 on 32 x 32, training step, SGD, batch 64", _resnet18_small, classes((64, 3, 32, 32), 1000),
             SGD, flops=6.0 * 64 * RESNET18_SMALL_MACS, tolerance=1e-3, table="conv"),
    _single("depthwise_144", 144, 144, 56, 3, groups=144), _single("depthwise_144_s2", 144, 144, 56, 3, 2, groups=144),
    _single("3x3_64", 64, 64, 56, 3), _single("3x3_128", 128, 128, 28, 3), _single("3x3_256", 256, 256, 14, 3),
    _single("3x3_512", 512, 512, 7, 3), _single("3x3_64_s2", 64, 128, 56, 3, 2), _single("7x7_3", 3, 64, 224, 7, 2),
    _single("3x3_256_s2", 256, 512, 14, 3, 2), _single("3x3_3", 3, 64, 32, 3, batch=8),
    _single("1x1_24", 24, 144, 56, 1), _single("1x1_256", 256, 256, 14, 1), _single("1x1_512", 512, 2048, 7, 1),
    _single("5x5_32", 32, 64, 28, 5), _single("3x3_dilated", 64, 64, 56, 3, dilation=2), _single("3x3_groups", 256, 256, 28, 3, groups=32),
    _single("4x4_transposed", 128, 64, 16, 4, 2, transposed=True), _single("2x2_transposed", 64, 32, 28, 2, 2, transposed=True),
    _single("audio", 80, 384, (3000,), 3), _single("video", 64, 64, (8, 28, 28), 3),
)  # fmt: skip
