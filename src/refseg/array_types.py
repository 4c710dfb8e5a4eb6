"""Types of arrays and of what a user gives: one meaning each."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
