"""The older path of `ingot.onnx`."""

from ingot.onnx import export, is_in_onnx_export, register_custom_op_symbolic, unregister_custom_op_symbolic

__all__ = ["export", "is_in_onnx_export", "register_custom_op_symbolic", "unregister_custom_op_symbolic"]
