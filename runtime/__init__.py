"""Recording, execution, autograd, optimizers, the cache, artifacts and the CLI, all on values."""

if __name__ != "ingot.runtime":
    raise ImportError(f"import this package as ingot.runtime, not as {__name__}: run from outside the repository root")
