"""The rules, one subject a module; importing this package fills the table."""

from ingot.interchange.stablehlo.ops import bits as bits
from ingot.interchange.stablehlo.ops import calls as calls
from ingot.interchange.stablehlo.ops import chlo as chlo
from ingot.interchange.stablehlo.ops import control as control
from ingot.interchange.stablehlo.ops import convolution as convolution
from ingot.interchange.stablehlo.ops import distribution as distribution
from ingot.interchange.stablehlo.ops import elementwise as elementwise
from ingot.interchange.stablehlo.ops import indexing as indexing
from ingot.interchange.stablehlo.ops import lapack as lapack
from ingot.interchange.stablehlo.ops import linear as linear
from ingot.interchange.stablehlo.ops import movement as movement
from ingot.interchange.stablehlo.ops import normalization as normalization
from ingot.interchange.stablehlo.ops import quantization as quantization
from ingot.interchange.stablehlo.ops import random as random
from ingot.interchange.stablehlo.ops import reduction as reduction
from ingot.interchange.stablehlo.ops import scatter as scatter
from ingot.interchange.stablehlo.ops import sorting as sorting
from ingot.interchange.stablehlo.ops import windows as windows
