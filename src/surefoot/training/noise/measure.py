"""The noise of a model's gradients, with intervals."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast

from torch import Tensor, nn

from surefoot.checks import Fraction, Range, checked
from surefoot.errors import InvalidInput, NotFinite
from surefoot.noise import GradientNoise
from surefoot.noise.estimate import LEAST_GROUPS
from surefoot.noise.source import measure_noise
from surefoot.training.curvature import CurvatureOperator
from surefoot.training.model.batches import Batches, gather
from surefoot.training.model.loss import Loss
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.parameters import select
from surefoot.training.model.sandbox import plain_module
from surefoot.training.model.trees import on_device, spread
from surefoot.training.noise._sources import MiniBatchSource, SampleSource, check_repeatable

__all__ = ["GROUPS", "gradient_noise"]

# Mini-batches where single samples have no gradients, by convention: enough for an interval (Student's t at 31 degrees
# of freedom is 4% wider than the normal), few enough for a product with each. The mean of fewer than 8 samples is far
# from normal where gradients are skewed, and the interval assumes that it is.
GROUPS, LEAST_SAMPLES = 32, 8
Groups = Annotated[int, Range(f"[{LEAST_GROUPS}, inf)")]
# Samples that the loss is evaluated on twice: a model that draws random numbers does so on any. By convention.
PROBED = 8


@checked
def gradient_noise(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    curvature: CurvatureOperator | None = None,
    groups: Groups | None = None,
    samples: Groups | None = None,
    whole: bool = False,
    failure: Fraction = 0.05,
    parameters: str | Iterable[Any] | None = None,
    count: Callable[[Any], float] | None = None,
    rng: int = 0,
) -> GradientNoise:
    """The variance of a sample's gradient and the gradient noise scale, at the model's current parameters.

        B_simple = tr(Sigma)/|G|^2,    B_noise = tr(H Sigma)/(G'HG)

    Sigma is the covariance of the gradient of one sample and G its mean: at the batch size B_simple noise and signal
    are equal; far below it noise decides, far above larger batches bring nothing. tr(Sigma) and |G|^2 are estimated
    without bias (with K mini-batches of n it is the two-batch estimator, n and K n), the ratio's bias is removed to
    first order, and the intervals are Fieller's, with the covariance from leaving out one gradient at a time:
    *estimates* that assume independent samples, and neither few groups nor heavy tails. Where |G|^2 cannot be told from
    0 the interval of the scale has no upper end.

    Nothing of the model is changed: parameters, gradients, buffers, modes and random states are bitwise as before.

    Parameters
    ----------
    model : Module
        The model in the mode in which it is to be measured. Dropout in train mode is refused. Batch normalisation in
        train mode couples samples, so mini-batches are used, and the noise is that of batches of their size. Under
        DistributedDataParallel each process measures its own data. Under ``fully_shard`` mini-batch i is that of all
        processes together, equally large in each.
    loss, data, parameters, count
        As in `hessian`. A sample is an index into the leading dimension: a sequence is one, with all its tokens. One
        batch is shuffled before it is cut into mini-batches; several are taken as they come and should be random
        samples.
    curvature : CurvatureOperator, optional
        Curvature of the same parameters, such as ``gauss_newton(model, loss, data)``: measures B_noise too, for one
        product per mini-batch. With negative curvature along G there is no such scale.
    groups : int, optional
        Measure by so many mini-batches. Default: by single samples where `torch.func.vmap` can differentiate the model
        and samples are independent; else, or with a curvature, 32, fewer if they would have less than 8 samples.
    samples : int, optional
        Measure on about so many samples, drawn by `rng`. Default: all.
    whole : bool
        Whether the data are all there are, so that nothing has to be estimated from them: then the numbers are those of
        SGD on exactly these samples. Needs single samples.
    failure : float
        The probability that one of the two-sided intervals misses, an *estimate*.
    rng : int
        Seed of the shuffle.

    Returns
    -------
    GradientNoise
        Its cost is two gradients over the samples (by sample the second is made one by one where so many gradients of
        all samples at once would not fit in 64 MB), or one by mini-batches of a small model, the products, and two
        evaluations of the loss on a few samples. Memory: a few vectors of the model's size, and the 64 MB.

    Raises
    ------
    InvalidInput
        If a number is out of range, there are too few samples, or the curvature is of other parameters.
    InvalidType
        If the curvature is none.
    NotFinite
        If a gradient is not finite.
    NotRepeatable
        If two evaluations differ: dropout in train mode.

    References
    ----------
    S. McCandlish, J. Kaplan, D. Amodei, An empirical model of large-batch training, arXiv 1812.06162 (2018), equations
    2.8 and 2.9, appendix A.1. E. C. Fieller, Some problems in interval estimation, J. R. Stat. Soc. B 16 (1954).

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.noise.measure import gradient_noise
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> noise = gradient_noise(model, supervised(torch.nn.functional.mse_loss), (x, y), whole=True)
    >>> noise.variance, noise.square, noise.scale  # gradients -2, -4, -6, -8
    (5.0, 25.0, 0.2)
    """
    if whole and (groups is not None or curvature is not None or samples is not None):
        raise InvalidInput(
            "whole=True is about the single samples of all the data; leave out groups, samples, curvature"
        )
    model = plain_module(model)
    block = select(model, parameters, sharded=True)
    if curvature is not None and curvature.names != block.names:
        raise InvalidInput(
            f"the curvature is of {len(curvature.names)} parameter tensors and the noise of {len(block.names)}, not "
            "the same ones; give both the same parameters="
        )
    given = data if isinstance(data, Batches) else gather(data, loss, count)
    batches = MiniBatches(given, 1, rng).subset(samples)
    if block.shards is None:
        few = spread(batches.items[0], PROBED)
        probe = batches.items[0] if few is None else few
        check_repeatable(model, loss, on_device(probe, block.device))
    elif whole:
        raise InvalidInput(
            "whole=True needs single samples, and sharded parameters have mini-batches only; leave it out"
        )

    def product(v: Tensor) -> Tensor:
        # gradients and curvature may have different precisions
        H = cast("CurvatureOperator", curvature)
        return H.matvec(v.to(H.space.dtype)).to(v.dtype)

    def by_batches(reason: str = "") -> GradientNoise:
        fitting = max(LEAST_GROUPS, min(GROUPS, int(sum(batches.counts)) // LEAST_SAMPLES))
        source = MiniBatchSource(model, loss, batches, block, groups=groups or fitting, seed=rng, reason=reason)
        return measure_noise(source, failure=failure, product=None if curvature is None else product)

    if groups is not None or curvature is not None or block.shards is not None:
        return by_batches()
    try:
        return measure_noise(SampleSource(model, loss, batches, block), failure=None if whole else failure)
    except NotFinite:
        raise
    except (RuntimeError, ValueError, NotImplementedError, TypeError) as error:
        if whole:
            raise InvalidInput(f"single samples have no gradients here ({_first_line(error)}); use groups") from error
        return by_batches(f"by mini-batches, since single samples fail: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
