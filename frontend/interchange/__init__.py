"""Files of other frameworks, on `ingot.ir` and NumPy alone: read without running anything that is in them."""
