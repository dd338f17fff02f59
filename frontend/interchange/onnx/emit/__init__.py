"""From the IR's ops to ONNX's: a table from op to what writes it, one subject a module; importing this package fills it."""

from ingot.interchange.onnx.emit import composites as composites
from ingot.interchange.onnx.emit import elementwise as elementwise
from ingot.interchange.onnx.emit import gammas as gammas
from ingot.interchange.onnx.emit import indexing as indexing
from ingot.interchange.onnx.emit import loops as loops
from ingot.interchange.onnx.emit import movement as movement
from ingot.interchange.onnx.emit import products as products
from ingot.interchange.onnx.emit import reductions as reductions
from ingot.interchange.onnx.emit import running as running
