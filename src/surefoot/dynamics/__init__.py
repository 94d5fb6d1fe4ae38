"""Long-run behaviour of an update x -> update(x, parameter): orbits, periods, exponents, thresholds, escape."""

from surefoot.dynamics._bifurcations import Cascade, Doubling, bifurcations
from surefoot.dynamics._clipping import ClippedQuadratic
from surefoot.dynamics._cubic import Cubic
from surefoot.dynamics._cycle import Cycle, cycle
from surefoot.dynamics._diagram import Diagram, diagram
from surefoot.dynamics._escape import Escape, escape_step, escape_steps, wander
from surefoot.dynamics._exponent import lyapunov
from surefoot.dynamics._flip import Flip, flip
from surefoot.dynamics._landscape import Landscape
from surefoot.dynamics._orbit import orbit, period
from surefoot.dynamics._recurrent import TanhRNN
from surefoot.dynamics._superstable import accumulation, feigenbaum_ratios, superstable
from surefoot.dynamics._two_minima import TwoMinima

__all__ = [
    "ClippedQuadratic",
    "Cubic",
    "Landscape",
    "TanhRNN",
    "TwoMinima",
    "accumulation",
    "bifurcations",
    "cycle",
    "diagram",
    "escape_step",
    "escape_steps",
    "feigenbaum_ratios",
    "flip",
    "lyapunov",
    "orbit",
    "period",
    "superstable",
    "wander",
]
