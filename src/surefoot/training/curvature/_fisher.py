"""The Fisher matrix of a model: expected over targets drawn from the model itself."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.training.curvature._jacobian import outer_product
from surefoot.training.curvature.gauss_newton import GaussNewtonOf, no_outputs
from surefoot.training.curvature.linearised import Curvature, Linearised, evaluate
from surefoot.training.curvature.operator import DEFAULT_MEMORY, CurvatureOperator, Progress
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss
from surefoot.training.model.trees import leaves


@checked
def fisher(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    draws: Count | None = None,
    rng: int = 0,
    parameters: str | Iterable[Any] | None = None,
    max_memory: int = DEFAULT_MEMORY,
    count: Callable[[Any], float] | None = None,
    progress: Progress | None = None,
) -> CurvatureOperator:
    """The (type-1) Fisher matrix of the model on the data's inputs, by its products.

        F = 1/N sum_t E_y [J_t' s s' J_t],    s = d(-log p(y | z_t))/dz_t,    y ~ p(. | z_t)

    t runs over the N predictions behind the mean (samples; of sequences, tokens; of regression, components), z_t is the
    model's output there, and the criterion is read as -log p: cross-entropy (categorical), binary cross-entropy on
    logits (Bernoulli), mean squares (Gaussian of variance 1/2). The expectation is exact by default: then F is the
    Gauss-Newton matrix (Martens 2020, section 9.2) and costs the same. With `draws` it is the mean over so many drawn
    targets per prediction, an unbiased *estimate* of F that is fixed by `rng`.

    Parameters
    ----------
    model, data, parameters, max_memory, count, progress
        As in `hessian`.
    loss : Supervised
        From `supervised`, of one of the criteria above, without class weights or label smoothing; or, without `draws`,
        a loss that the model computes itself, as in `gauss_newton`.
    draws : int, optional
        Targets drawn per prediction.
    rng : int
        Seed of the draws; the same at every product.

    Returns
    -------
    CurvatureOperator
        Symmetric and positive semidefinite, kind "curvature", scope "local".

    Raises
    ------
    InvalidType
        If the loss is not a `supervised` one.
    InvalidInput
        If the criterion is none that has a likelihood, or `draws` is not positive; and as `hessian`.

    References
    ----------
    J. Martens, New insights and perspectives on the natural gradient method, JMLR 21 (2020), sections 5 and 9.2.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature._fisher import fisher
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> F = fisher(model, supervised(torch.nn.functional.mse_loss), (x, y))
    >>> F @ [1.0, 1.0]  # 2 X'X / n
    array([1., 4.])
    """
    if isinstance(loss, Supervised):
        score = _score_of(loss)
        curvature: Curvature = GaussNewtonOf(loss) if draws is None else FisherOf(loss, score, draws, rng)
    elif draws is None and callable(loss):
        # Gauss-Newton reads the model's own loss through its logits and refuses what is no known criterion there
        curvature = GaussNewtonOf(loss)
    else:
        raise no_outputs(loss, "Fisher matrix")
    curvature.name = "Fisher" if draws is None else f"Fisher, {draws} draws"
    return CurvatureOperator(
        model, curvature, data, parameters=parameters, max_memory=max_memory, count=count, progress=progress
    )


class Score(ABC):
    """s = d(-log p(y | z))/dz at a y drawn from p(. | z), for all predictions at once."""

    @abstractmethod
    def draw(self, z: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """The score, of the shape of the outputs z; 0 where the target is ignored."""

    def predictions(self, z: Tensor, target: Tensor) -> float:  # noqa: ARG002
        """The number N behind the mean."""
        return float(z.numel())

    def along(self, score: Tensor, w: Tensor) -> Tensor:
        """S (s . w), the inner product over the outputs that make up one prediction."""
        return score * score * w


class Gaussian(Score):
    """-log p = (z - y)^2: y has variance 1/2, so s = 2 (z - y) has variance 2."""

    def draw(self, z: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        return (2**0.5 * torch.randn(z.shape, generator=generator, dtype=torch.float64)).to(z)


class Bernoulli(Score):
    """-log p = softplus(z) - y z: s = sigmoid(z) - y."""

    def draw(self, z: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        p = z.sigmoid()
        uniform = torch.rand(z.shape, generator=generator, dtype=torch.float64).to(z.device)
        return p - (uniform < p).to(z)


class Categorical(Score):
    """-log p = logsumexp(z) - z_y along dimension 1 (0 of a single prediction): s = softmax(z) - e_y."""

    def __init__(self, ignored: int) -> None:
        self.ignored = ignored

    def draw(self, z: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        classes = _class_dimension(z)
        p = z.softmax(classes)
        rows = p.movedim(classes, -1)
        uniform = torch.rand(rows.shape[:-1], generator=generator, dtype=torch.float64).to(z.device)
        # by inversion; where rounding leaves the last cumulative sum below the draw it is the last class
        label = (rows.double().cumsum(-1) < uniform[..., None]).sum(-1).clamp(max=rows.shape[-1] - 1)
        s = rows - nn.functional.one_hot(label, rows.shape[-1]).to(z)
        return s.mul((target != self.ignored)[..., None]).movedim(-1, classes)

    def predictions(self, z: Tensor, target: Tensor) -> float:  # noqa: ARG002
        return float((target != self.ignored).sum())

    def along(self, score: Tensor, w: Tensor) -> Tensor:
        return score * (score * w).sum(_class_dimension(score), keepdim=True)


class FisherOf(Curvature):
    """J' (1/N sum over draws of s s') J with fixed draws."""

    name = "Fisher"
    psd = True

    def __init__(self, loss: Supervised, score: Score, draws: int, seed: int) -> None:
        super().__init__(loss)
        self.score, self.draws, self.seed = score, draws, seed

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        outputs, target, value = evaluate(cast("Supervised", self.loss), model, batch)
        if isinstance(self.score, Categorical) and target.is_floating_point():
            raise InvalidInput("targets are class probabilities; draws need class labels: draws=None is exact")
        # by the batch's contents: the draws are the same at every product and for a batch that is run again
        generator = torch.Generator().manual_seed(self.seed + _fingerprint(batch))
        z = outputs.detach()
        scores = [self.score.draw(z, target, generator) for _ in range(self.draws)]
        share = 1 / (self.draws * self.score.predictions(z, target))

        def inner(w: Tensor) -> Tensor:
            return share * torch.stack([self.score.along(s, w) for s in scores]).sum(0)

        return Linearised(value.item(), outer_product(outputs, parameters, inner))


def _score_of(loss: Supervised) -> Score:
    """The score of the likelihood that the criterion is; an error where it is none."""
    weighted = [name for name in ("weight", "pos_weight") if loss.option(name) is not None]
    weighted += ["label_smoothing"] if loss.option("label_smoothing", 0.0) else []
    if weighted:
        raise InvalidInput(f"{loss.name} with {', '.join(weighted)} is no likelihood; use gauss_newton")
    if loss.name in ("mse_loss", "MSELoss"):
        return Gaussian()
    if loss.name in ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss"):
        return Bernoulli()
    if loss.name in ("cross_entropy", "CrossEntropyLoss"):
        return Categorical(loss.option("ignore_index", -100))
    raise InvalidInput(
        f"{loss.name} has no known likelihood: cross_entropy, binary_cross_entropy_with_logits and mse_loss have; "
        "for others use gauss_newton or empirical_fisher"
    )


def _class_dimension(z: Tensor) -> int:
    return 1 if z.ndim > 1 else 0


def _fingerprint(batch: Any) -> int:
    """A checksum of a batch's numbers, the same in float32 and float64."""
    code = 0
    for leaf in leaves(batch):
        if isinstance(leaf, Tensor):
            plain = leaf.detach().float() if leaf.is_floating_point() else leaf
            code = zlib.crc32(plain.cpu().contiguous().numpy().tobytes(), code)
    return code
