"""Every op's declaration: types, references, derivatives, errors."""
