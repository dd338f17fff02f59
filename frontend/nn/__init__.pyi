"""`ingot.nn`: modules, functionals, initialisers and helpers, by torch's names."""

from ingot.nn import attention as attention
from ingot.nn import functional as functional
from ingot.nn import init as init
from ingot.nn import modules as modules
from ingot.nn import parallel as parallel
from ingot.nn import utils as utils
from ingot.nn.modules import *  # noqa: F403  (all of them)
from ingot.nn.parallel import DataParallel as DataParallel
from ingot.nn.parameter import Buffer as Buffer
from ingot.nn.parameter import Parameter as Parameter
from ingot.nn.parameter import UninitializedBuffer as UninitializedBuffer
from ingot.nn.parameter import UninitializedParameter as UninitializedParameter
