"""Drivers: rules at work on NumPy problems."""

from surefoot.drivers._accelerated import FISTA
from surefoot.drivers._as_map import as_map
from surefoot.drivers._contenders import Contender, contender, contender_names, known_of
from surefoot.drivers._descend import Descent, descend
from surefoot.drivers._diagnose import Diagnosis, diagnose
from surefoot.drivers._integrate import gradient_flow, integrate
from surefoot.drivers._local_error import LocalError, local_error
from surefoot.drivers._minimum import Minimum, minimum
from surefoot.drivers._primal_dual import PrimalDual, primal_dual
from surefoot.drivers._proximal import L1, Box, Nonnegative, Proximal
from surefoot.drivers._race import race
from surefoot.drivers._race_result import Entry, Race
from surefoot.drivers._run import Run, run
from surefoot.drivers._samplers import SAGA, SGD, Coordinate, FiniteSum, Partial, Sampler
from surefoot.drivers._scaling import AdaGrad, FixedScaling, RMSProp, Scaling
from surefoot.drivers._stochastic import descend_by_parts
from surefoot.drivers._sweep import Outcome, Sweep, sweep
from surefoot.drivers._trace import Trace
from surefoot.drivers._trajectory import StabilityCheck, Trajectory
from surefoot.drivers._variation import GroupL1, SquaredDistance
from surefoot.drivers._verdict import Verdict, predicted_rate

__all__ = [
    "FISTA",
    "L1",
    "SAGA",
    "SGD",
    "AdaGrad",
    "Box",
    "Contender",
    "Coordinate",
    "Descent",
    "Diagnosis",
    "Entry",
    "FiniteSum",
    "FixedScaling",
    "GroupL1",
    "LocalError",
    "Minimum",
    "Nonnegative",
    "Outcome",
    "Partial",
    "PrimalDual",
    "Proximal",
    "RMSProp",
    "Race",
    "Run",
    "Sampler",
    "Scaling",
    "SquaredDistance",
    "StabilityCheck",
    "Sweep",
    "Trace",
    "Trajectory",
    "Verdict",
    "as_map",
    "contender",
    "contender_names",
    "descend",
    "descend_by_parts",
    "diagnose",
    "gradient_flow",
    "integrate",
    "known_of",
    "local_error",
    "minimum",
    "predicted_rate",
    "primal_dual",
    "race",
    "run",
    "sweep",
]
