"""Comparing ONNX files with the models they were made of: there are none."""

from ingot._refused import refused
from ingot.onnx import _NONE

__all__ = ["verify_onnx_program"]

verify_onnx_program = refused("onnx.verification.verify_onnx_program", _NONE)
