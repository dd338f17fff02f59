"""What the tests of CUDA devices share."""

from tests.support.emulated import cuda as cuda
from tests.support.emulated import other as other
from tests.support.emulated import standin as standin
