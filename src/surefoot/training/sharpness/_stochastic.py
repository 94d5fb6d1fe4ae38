"""Curvature seen through mini-batches, with a bound and its probability of being wrong."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.checks import Count, Fraction, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.methods import GradientDescent
from surefoot.operators import Operator
from surefoot.records import Record
from surefoot.rules.adaptive.moments import Moments
from surefoot.spectra import spectrum
from surefoot.training.curvature import CurvatureOperator, hessian
from surefoot.training.model.batches import gather
from surefoot.training.model.loss import Loss
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.sandbox import plain_module
from surefoot.training.optimizers.frozen import Frozen, freeze

# Share of the probability of being wrong for the upper ends of the mini-batches' own eigenvalues; the rest is for their
# spread. Lanczos needs products as the logarithm of its share, so a small one is enough. By convention.
LANCZOS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticCurvature(Record):
    """Curvature at one point, from independent mini-batches.

    Parameters
    ----------
    method : str
        Name of the optimizer's iteration; gradient descent without one.
    real_limit : float
        The largest step * curvature that it is stable with.
    batch_size : float
    draws : int
        Mini-batches that it was measured on.
    failure : float
        Probability that an upper bound is wrong, for each of them.
    assumption : str
        Assumption of the bounds on the values of single mini-batches.
    along : float
        Mean curvature along the step, u'Hu/u'Pu (P the optimizer's preconditioner, 1 without); without bias.
    along_upper : float
        Upper confidence bound on it.
    largest : float
        Mean of the largest curvatures of the mini-batches; above that of all the data (see `minibatch_bias`).
    largest_upper : float
        Upper confidence bound on the largest curvature of all the data.
    products, gradients : int
        Cost, on mini-batches.
    """

    method: str
    real_limit: float
    batch_size: float
    draws: int
    failure: float
    assumption: str
    along: float
    along_upper: float
    largest: float
    largest_upper: float
    products: int
    gradients: int

    @property
    def stable(self) -> float:
        """real_limit/largest_upper: up to here a step is stable where curvature is positive; inf if none is."""
        return self.real_limit / self.largest_upper if self.largest_upper > 0 else math.inf

    @property
    def safe(self) -> float:
        """1/largest_upper: without momentum the step of the best guaranteed decrease; inf without curvature."""
        return 1 / self.largest_upper if self.largest_upper > 0 else math.inf

    @property
    def along_step(self) -> float:
        """1/along_upper: at most the best step along this direction (`failure`: the risk); inf if unbounded."""
        return 1 / self.along_upper if self.along_upper > 0 else math.inf

    def __str__(self) -> str:
        level = f"wrong with probability <= {self.failure:g}"
        return (
            f"curvature for {self.method} over {self.draws} mini-batches of {self.batch_size:g} ({self.assumption}; "
            f"{self.products} products, {self.gradients} gradients)\n  along the step  {self.along:.4g}, at most "
            f"{self.along_upper:.4g} ({level}): step {self.along_step:.4g}\n  largest         {self.largest:.4g}, of "
            f"all data at most {self.largest_upper:.4g} ({level}): safe {self.safe:.4g}, stable {self.stable:.4g}"
        )


@checked
def stochastic_curvature(
    model: nn.Module,
    loss: Loss,
    data: Any,
    batch_size: Count,
    *,
    optimizer: Optimizer | None = None,
    draws: Annotated[int, Range("[2, inf)")] = 8,
    rate: Positive | None = None,
    width: Positive | None = None,
    count: Callable[[Any], float] | None = None,
    rtol: Positive = 0.02,
    failure: Fraction = 0.05,
    rng: int = 0,
) -> StochasticCurvature:
    """The curvature along a gradient step and the largest one, from mini-batches, with upper confidence bounds.

        u'Hu = E u'H_B u,    lambda_max(H) = lambda_max(E H_B) <= E lambda_max(H_B)

    The direction u is the gradient of one mini-batch, the curvatures are those of `draws` others, disjoint from it and
    from each other. The largest eigenvalue is a convex function, so the mean over mini-batches errs on the safe side
    (Jensen), and a bound on that mean is one on the curvature of all the data: the smaller the mini-batches, the wider.

    Parameters
    ----------
    model, loss, data, count
        As in `hessian`; several batches are the mini-batches themselves and should be random samples.
    batch_size : int
    optimizer : torch.optim.Optimizer, optional
        Measure what it sees, P^-1/2 H P^-1/2 with its state held fixed, along the step P^-1 u; weight decay counts as
        in `optimizer_limits`. Without a state the first mini-batch, which is not measured on, gives one.
    draws : int
        At least 2; one pass over the data must hold one more.
    rate : float, optional
        Measure along the step -rate u: from the gradients of the same mini-batch at both ends, so the mean curvature on
        the way. Default: at this point, from products.
    failure : float
        Probability that a bound is wrong, for each of the two.
    width : float, optional
        Length of an interval that the curvatures of single mini-batches lie in: then the bounds are empirical Bernstein
        ones. Default Student's, which assume that values are normal; with few skewed ones they hold less often.
    rtol : float
        Relative width of each mini-batch's largest curvature, whose upper end is used, as in `surefoot.spectrum`.
    rng : int

    Returns
    -------
    StochasticCurvature
        Its cost, in gradients of a mini-batch: six for the first one, and for each draw two for its graph and two for
        each product, as many as `surefoot.spectrum` takes for the largest end (at most 1000; networks took 10 to 70);
        with a rate two more.

    Raises
    ------
    InvalidInput
        If a number is out of range or there are too few mini-batches; and as `hessian`.

    References
    ----------
    A. Maurer, M. Pontil, Empirical Bernstein bounds and sample variance penalization, COLT 2009, theorem 4.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.sharpness._stochastic import stochastic_curvature
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> x = torch.tensor([[1.0], [-1.0]]).repeat(20, 1)
    >>> seen = stochastic_curvature(model, supervised(torch.nn.functional.mse_loss), (x, 3 * x), batch_size=4)
    >>> round(seen.along_upper, 4), round(seen.stable, 4)  # 2 x^2 = 2 for every sample
    (2.0, 1.0)
    """
    model = plain_module(model)
    visits = MiniBatches(gather(data, loss, count), batch_size, rng)
    if visits.per_pass < draws + 1:
        raise InvalidInput(
            f"one pass holds {visits.per_pass} mini-batches of {visits.size:g}, and independent draws need "
            f"{draws + 1}; give more data, smaller batches or fewer draws"
        )
    # the direction comes from a mini-batch that is not measured on, so that it is independent of the curvatures
    first, *others = islice(visits.endless(), draws + 1)
    before = hessian(model, loss, [first], count=count)
    frozen = Frozen(GradientDescent(), None, 0.0, 0.0, "") if optimizer is None else freeze(before, optimizer)
    step = _Step.along(before.gradient_vector(), frozen, None if rate is None else (model, loss, first, rate))
    along, largest, products = Moments(), Moments(), 0
    for batch in others:
        H = hessian(model, loss, [batch], count=count, check=False)
        operator = frozen.curvature(H)
        spec = spectrum(
            frozen.with_decay(operator), which="largest", rtol=rtol, failure=LANCZOS * failure / draws, rng=rng
        )
        largest = largest.with_value(spec.largest.upper)
        products += spec.products + (rate is None)
        along = along.with_value(step.curvature(operator, H))
        H.release()
    return StochasticCurvature(
        method=frozen.method.name,
        real_limit=frozen.method.real_limit,
        batch_size=float(visits.size),
        draws=draws,
        failure=failure,
        assumption="normal values" if width is None else f"values within an interval of {width:g}",
        along=along.mean,
        along_upper=along.upper(1 - failure, width),
        largest=largest.mean,
        largest_upper=largest.upper(1 - (1 - LANCZOS) * failure, width),
        products=products,
        gradients=1 + (0 if rate is None else 2 * draws),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """The direction d = P^-1 g with z = P^-1/2 g; with a rate, a copy of the model at the end of the step -rate d."""

    d: Tensor
    z: Tensor
    frozen: Frozen
    rate: float = 0.0
    end: CurvatureOperator | None = None

    @classmethod
    def along(cls, gradient: Tensor, frozen: Frozen, mean_over: tuple[nn.Module, Loss, Any, float] | None) -> "_Step":
        scale = 1.0 if frozen.preconditioner is None else frozen.preconditioner.rsqrt().to(gradient)
        z = scale * gradient
        if not z.any():
            raise InvalidInput("the gradient is 0 at the model's parameters: there is no step to measure along")
        if mean_over is None:
            return cls(scale * z, z, frozen)
        model, loss, batch, rate = mean_over
        end = hessian(copy.deepcopy(model), loss, [batch], check=False)
        with torch.no_grad():
            for p, piece in zip(end.parameters, end.block.split(-rate * scale * z), strict=True):
                p += piece
        end.release()
        return cls(scale * z, z, frozen, rate, end)

    def curvature(self, operator: Operator, H: CurvatureOperator) -> float:
        """The curvature d'Hd/d'Pd of one mini-batch, at this point or in the mean over the step."""
        space = H.space
        square = space.inner(self.z, self.z)
        if self.end is None:
            z = operator.space.asarray(self.z)
            return operator.space.inner(z, operator.matvec(z)) / square
        (there,) = self.end.batch_gradients(H.batches.items)
        change = -H.gradient_vector()
        self.end.block.add(change, there, 1.0)
        # gradients leave out weight decay, which belongs to the optimizer's curvature
        decay = space.inner(self.frozen.coupled * self.d, self.d)
        return (decay - space.inner(self.d, change) / self.rate) / square
