from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the folder)
