"""The functions of the public namespace, one subject a module, each imported when it is needed.

Every module lists in `__all__` what it gives to `ingot`; what it gives to Tensor, see methods.py.
"""
