"""The rules, one subject a module; importing this package fills the table."""

from ingot.interchange.onnx.ops import activations as activations
from ingot.interchange.onnx.ops import attention as attention
from ingot.interchange.onnx.ops import constants as constants
from ingot.interchange.onnx.ops import control as control
from ingot.interchange.onnx.ops import convolution as convolution
from ingot.interchange.onnx.ops import elementwise as elementwise
from ingot.interchange.onnx.ops import indexing as indexing
from ingot.interchange.onnx.ops import linear as linear
from ingot.interchange.onnx.ops import losses as losses
from ingot.interchange.onnx.ops import microsoft as microsoft
from ingot.interchange.onnx.ops import movement as movement
from ingot.interchange.onnx.ops import normalization as normalization
from ingot.interchange.onnx.ops import pooling as pooling
from ingot.interchange.onnx.ops import quantization as quantization
from ingot.interchange.onnx.ops import random as random
from ingot.interchange.onnx.ops import recurrent as recurrent
from ingot.interchange.onnx.ops import reduction as reduction
from ingot.interchange.onnx.ops import resize as resize
from ingot.interchange.onnx.ops import sequences as sequences
from ingot.interchange.onnx.ops import signal as signal
from ingot.interchange.onnx.ops import strings as strings
from ingot.interchange.onnx.ops import training as training
from ingot.interchange.onnx.ops import vision as vision
