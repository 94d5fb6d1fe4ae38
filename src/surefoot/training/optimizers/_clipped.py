"""What a cap on the gradient's norm makes of an optimizer's rate above its limit."""

from surefoot.spectra import Spectrum
from surefoot.stability import ClippedLimits, Limits
from surefoot.stability.clipped import clipped_limits
from surefoot.training.optimizers.frozen import Frozen


def limits_with_cap(limit: Limits, spec: Spectrum, frozen: Frozen, cap: float) -> ClippedLimits:
    """The limits with what is known about a cap; what acts between the cap and the step makes it unknown."""
    unknown = ""
    if frozen.preconditioner is not None and frozen.method.memory == 1:
        unknown = "a preconditioner or unequal rates act after the cap; not derived"
    elif frozen.preconditioner is not None:
        unknown = "momentum and a preconditioner act after the cap; not derived"
    elif any(frozen.decays):
        unknown = "weight decay acts after the cap; not derived"
    return clipped_limits(limit, frozen.method, spec.largest.upper, cap, unknown=unknown)
