"""Drivers that apply rules to NumPy problems and differential equations."""

from surefoot.solvers._accelerated import FISTA
from surefoot.solvers._as_map import as_map
from surefoot.solvers._integrate import gradient_flow, integrate
from surefoot.solvers._local_error import LocalError, local_error
from surefoot.solvers._primal_dual import PrimalDual, primal_dual
from surefoot.solvers._proximal import L1, Box, Nonnegative, Proximal
from surefoot.solvers._samplers import SAGA, SGD, Coordinate, FiniteSum, Partial, Sampler
from surefoot.solvers._scaling import AdaGrad, FixedScaling, RMSProp, Scaling
from surefoot.solvers._stochastic import descend_by_parts
from surefoot.solvers._trace import Trace
from surefoot.solvers._trajectory import StabilityCheck, Trajectory
from surefoot.solvers._variation import GroupL1, SquaredDistance
from surefoot.solvers._verdict import Verdict, predicted_rate
from surefoot.solvers.descend import Descent, descend
from surefoot.solvers.ending import Ending
from surefoot.solvers.ode_diagnosis import Diagnosis, diagnose

__all__ = [
    "FISTA",
    "L1",
    "SAGA",
    "SGD",
    "AdaGrad",
    "Box",
    "Coordinate",
    "Ending",
    "FiniteSum",
    "GroupL1",
    "Nonnegative",
    "Partial",
    "Proximal",
    "RMSProp",
    "Sampler",
    "Scaling",
    "SquaredDistance",
    "as_map",
    "descend",
    "descend_by_parts",
    "diagnose",
    "gradient_flow",
    "integrate",
    "local_error",
    "predicted_rate",
    "primal_dual",
]
