"""Drivers: rules at work on NumPy problems."""

from surefoot.drivers._accelerated import FISTA
from surefoot.drivers._descend import Descent, descend
from surefoot.drivers._proximal import L1, Box, Nonnegative, Proximal
from surefoot.drivers._samplers import SAGA, SGD, Coordinate, FiniteSum, Partial, Sampler
from surefoot.drivers._scaling import AdaGrad, FixedScaling, RMSProp, Scaling
from surefoot.drivers._stochastic import descend_by_parts
from surefoot.drivers._trace import Trace
from surefoot.drivers._verdict import Verdict, predicted_rate

__all__ = [
    "FISTA",
    "L1",
    "SAGA",
    "SGD",
    "AdaGrad",
    "Box",
    "Coordinate",
    "Descent",
    "FiniteSum",
    "FixedScaling",
    "Nonnegative",
    "Partial",
    "Proximal",
    "RMSProp",
    "Sampler",
    "Scaling",
    "Trace",
    "Verdict",
    "descend",
    "descend_by_parts",
    "predicted_rate",
]
