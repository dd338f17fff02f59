MODULES = ("autograd", "nn", "optim", "utils", "random")
DTYPES = {}
NAMES = {}
