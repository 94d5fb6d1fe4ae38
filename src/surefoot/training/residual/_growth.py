"""The growth of signal and gradient with a common scale h of all branches, predicted from the blocks as they are."""

import math
from collections.abc import Sequence

from surefoot.training.residual._result import ResidualBlock
from surefoot.training.residual._signals import Signals

# The square of a size may grow so much across depth: what iid blocks with h = L^-1/2 do, (1 + 1/L)^L.
BOUND = math.e
# Scales searched, 20 to a decade: growth rises with h but for branches that shrink what they meet, where it may dip.
SMALLEST, LARGEST, POINTS = 1e-6, 1e3, 181


def predict_growth(
    blocks: Sequence[ResidualBlock], signals: Signals, h: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """|x_k| / |x_0| and |gradient by x_k| / |gradient by x_L|, k = 0 .. L, for x + h g(x).

        |x_{k+1}|^2 = (1 + 2 h c tr(J)/n) |x_k|^2 + h^2 |g|^2
        |d_k|^2 = (1 + 2 h c tr(J)/n + h^2 c^2 ||J||_F^2/n) |d_{k+1}|^2

    where |g| follows |x| with the block's degree p, |g(r x)| = r^p |g(x)|, and J with c = r^(p-1). Signal and gradient
    are taken to be isotropic and independent of the block they meet: the mean over random blocks. For iid linear blocks
    with entries of variance 1/n both are (1 + h^2)^(L/2) (Hanin, Rolnick 2018). Blocks that have been trained are not
    independent, nor are those that repeat a direction: attention, which averages.

    Parameters
    ----------
    blocks : sequence of ResidualBlock, length L
    signals : Signals
        Sizes in the model as it is.
    h : float
    """
    size, forward, factors = signals.x[0], [1.0], [1.0] * len(blocks)
    for k, block in enumerate(blocks):
        # the block was measured at |x_k| of the model as it is: its branch and its Jacobian are moved to the size here
        ratio = size / signals.x[k] if signals.x[k] > 0 else 1.0
        added = h * signals.branch[k] * ratio**block.degree
        steepness = h * ratio ** (block.degree - 1) if ratio > 0 else 0.0
        total = math.sqrt(max(0.0, (1 + 2 * steepness * block.mean) * size**2 + added**2))
        factors[k] = block.rms_growth(steepness)
        # what stands between two blocks (a normalisation, a pooling) changes the size as it does in the model as it is
        after = signals.x[k + 1] if k + 1 < len(blocks) else signals.total[k]
        size = total * (after / signals.total[k] if signals.total[k] > 0 else 1.0)
        forward.append(size / signals.x[0] if signals.x[0] > 0 else math.inf)
    gradient, backward = 1.0, [1.0]
    for k in range(len(blocks) - 1, -1, -1):
        gradient *= factors[k]
        backward.append(gradient)
        if k and signals.gradient[k] > 0:
            gradient *= signals.gradient_after[k - 1] / signals.gradient[k]
    return tuple(forward), tuple(reversed(backward))


def bounded_scale(blocks: Sequence[ResidualBlock], signals: Signals) -> float | None:
    """The largest h up to which neither square grows by more than e across depth; None where none is.

    Capped at 1000 times the scale as it is.
    """

    def within(h: float) -> bool:
        forward, backward = predict_growth(blocks, signals, h)
        return max(forward[-1], backward[0]) ** 2 <= BOUND

    if not within(SMALLEST):
        return None
    step = (LARGEST / SMALLEST) ** (1 / (POINTS - 1))
    good = SMALLEST
    while good < LARGEST and within(good * step):
        good *= step
    if good >= LARGEST:
        return LARGEST
    low, high = good, good * step
    while high - low > 1e-9 * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if within(middle) else (low, middle)
    return low
