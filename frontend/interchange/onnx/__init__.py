"""ONNX's files: wire.py and messages.py read and write them, tensors.py knows their tensors. `ingot.onnx` has the public names."""
