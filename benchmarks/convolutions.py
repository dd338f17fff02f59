"""Convolutional networks, and single convolutions."""

from __future__ import annotations

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


def _single(name: str, i: int, o: int, size: int, kernel: int, stride: int = 1, groups: int = 1, batch: int = 1) -> Workload:
    """One convolution without a bias, its input and its output as users have them."""
    out = (size - 1) // stride + 1
    what = f"depthwise {kernel}x{kernel}" if groups > 1 else f"{kernel}x{kernel}"
    title = f"convolution {what}, {i} to {o} channels on {size} x {size}, stride {stride}, batch {batch}"

    def model(T: Any) -> Any:
        return T.nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)

    flops = 2.0 * batch * o * (i // groups) * kernel**2 * out**2
    return Workload(f"conv_kernel_{name}", title, model, normal((batch, i, size, size)), flops=flops, table="conv_kernels")


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
    _single("1x1_24", 24, 144, 56, 1), _single("1x1_256", 256, 256, 14, 1),
)  # fmt: skip
