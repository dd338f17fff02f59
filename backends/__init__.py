"""From loop IR to machine code: one room per target."""

if __name__ != "ingot.backends":
    raise ImportError(f"import this package as ingot.backends, not as {__name__}: run from outside the repository root")
