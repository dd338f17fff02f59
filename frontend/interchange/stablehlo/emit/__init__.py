"""From the IR's ops to StableHLO's: a table from op to what writes it, one subject a module; importing this package fills it."""

from ingot.interchange.stablehlo.emit import complex as complex
from ingot.interchange.stablehlo.emit import elementwise as elementwise
from ingot.interchange.stablehlo.emit import indexing as indexing
from ingot.interchange.stablehlo.emit import loops as loops
from ingot.interchange.stablehlo.emit import movement as movement
from ingot.interchange.stablehlo.emit import products as products
from ingot.interchange.stablehlo.emit import random as random
from ingot.interchange.stablehlo.emit import reductions as reductions
from ingot.interchange.stablehlo.emit import windows as windows
