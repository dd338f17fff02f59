"""Meshes of devices: there are none."""

from __future__ import annotations

from ingot._refused import refused, refused_class
from ingot.distributed import ONE_PROCESS

__all__ = ["DeviceMesh", "init_device_mesh"]

DeviceMesh = refused_class("distributed.device_mesh.DeviceMesh", ONE_PROCESS)
init_device_mesh = refused("distributed.device_mesh.init_device_mesh", ONE_PROCESS)
