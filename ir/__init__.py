"""The tensor IR: ops, graphs, passes and text form, and below it the loop IR.

Imports numpy and ml_dtypes only.
"""

if __name__ != "ingot.ir":  # the repository root on sys.path would load a second registry
    raise ImportError(f"import this package as ingot.ir, not as {__name__}: run from outside the repository root")
