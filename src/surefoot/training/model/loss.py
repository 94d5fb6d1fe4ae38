"""Loss functions in the one form that every tool here takes: loss(model, batch) -> a scalar tensor.

`supervised` brings a criterion to that form. Any other callable of that form works too (``lambda model, batch:
model(**batch).loss``), but does not tell what a criterion does: a batch's weight, the loss of the best constant
predictor, whether it is convex in the outputs.
"""

import copy
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, LossFailed, SurefootError

__all__ = ["Loss", "LossModule", "Supervised", "as_scalar", "causal_lm", "locate", "refuse_criterion", "supervised"]

Loss = Callable[[nn.Module, Any], Tensor]

# The name of the target in batches of tokenizers and data collators.
LABELS = "labels"
# Criteria that are convex in what the model returns, by the name of the class or function.
CONVEX = frozenset({
    *("MSELoss", "CrossEntropyLoss", "BCEWithLogitsLoss", "BCELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"),
    *("mse_loss", "cross_entropy", "binary_cross_entropy_with_logits", "binary_cross_entropy"),
    *("l1_loss", "smooth_l1_loss", "huber_loss"),
})  # fmt: skip
# Criteria over class labels, and criteria whose mean is over the elements of the target.
LABELLED = ("CrossEntropyLoss", "cross_entropy", "NLLLoss", "nll_loss")
ELEMENTS = frozenset({
    *("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "PoissonNLLLoss"),
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "poisson_nll_loss"),
    "binary_cross_entropy_with_logits",
})  # fmt: skip


@checked
def supervised(
    criterion: Callable[[Tensor, Tensor], Tensor],
    *,
    outputs: str | int | Callable[[Any], Tensor] | None = None,
    target: str | Callable[[Any], Any] | None = None,
) -> "Supervised":
    """The mean of a criterion over a batch (x, y), as loss(model, batch).

        loss(model, (x, y)) = criterion(model(x), y),    loss(model, {"labels": y, **x}) = criterion(model(**x), y)

    Parameters
    ----------
    criterion : callable
        (model output, target) -> mean over the batch: ``torch.nn.functional.cross_entropy``,
        ``torch.nn.MSELoss()``, a `functools.partial` of one, or your own.
    outputs : str, int or callable, optional
        Part of the model's output that the criterion takes: an entry or attribute by its name, an entry by its place,
        or a function of the whole. Default: the tensor itself; of an object or a mapping its `logits`.
    target : str or callable, optional
        Target of a batch: the name of a mapping's entry, or a function of the whole batch. Default: the last entry of a
        tuple, the entry "labels" of a mapping.

    Returns
    -------
    Supervised
        A callable (model, batch) -> scalar tensor. A batch (x1, x2, y) calls model(x1, x2); of a mapping, such as a
        tokenizer's, all but the target's entry ("labels", if the target is a function) are keywords of the model.

    Raises
    ------
    InvalidType
        If the criterion cannot be called.
    InvalidInput
        If it sums or does not reduce over the batch: a step size belongs to a mean.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.model.loss import supervised
    >>> loss = supervised(torch.nn.functional.mse_loss)
    >>> model = torch.nn.Linear(2, 1)
    >>> loss(model, (torch.zeros(3, 2), torch.ones(3, 1))).shape
    torch.Size([])
    """
    if isinstance(criterion, type):
        raise InvalidType(f"criterion is the class {criterion.__name__}; give an instance: {criterion.__name__}()")
    loss = Supervised(criterion, outputs, target)
    reduction = loss.option("reduction", "mean")
    if reduction != "mean":
        raise InvalidInput(f"criterion has reduction={reduction!r}; a step size needs the mean: reduction='mean'")
    return loss


@checked
def causal_lm(ignore_index: int = -100) -> "Supervised":
    """The cross-entropy of the next token, as loss(model, batch), for a model that returns `logits`.

        mean over (i, t), y_(i, t+1) not ignored, of -log softmax(logits_it)[y_(i, t+1)]

    A causal language model of the Hugging Face library computes the same from its labels; here outputs and criterion
    are apart, which Gauss-Newton, Fisher and mean-square limits need.

    Parameters
    ----------
    ignore_index : int
        Label that is left out of the mean.

    Returns
    -------
    Supervised
        For batches {"input_ids": ..., "labels": ...} or (tokens, labels), labels of shape (n, length); a batch's weight
        is its number of labels that are not ignored.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.model.loss import causal_lm
    >>> model = torch.nn.Embedding(5, 5)  # scores of the next token
    >>> tokens = torch.tensor([[0, 1, 2, 3]])
    >>> loss, batch = causal_lm(), (tokens, tokens)
    >>> loss(model, batch).shape, loss.weight(batch)
    (torch.Size([]), 3.0)
    """
    criterion = functools.partial(nn.functional.cross_entropy, ignore_index=ignore_index)
    return Supervised(criterion, _next_scores, _next_tokens)


def _next_scores(returned: Any) -> Tensor:
    """Scores of the next tokens, shape (n, classes, length - 1): samples stay the first dimension."""
    scores = _model_output(returned)[:, :-1].transpose(1, 2)
    # the library's models compute this loss in single precision too
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _next_tokens(batch: Any) -> Tensor:
    return _parts(batch)[2][:, 1:]


class Supervised:
    """A criterion over batches (x, y); made by `supervised`."""

    def __init__(self, criterion: Callable[[Tensor, Tensor], Tensor], outputs: Any = None, target: Any = None) -> None:
        self.criterion = criterion
        self._outputs, self._target = outputs, target

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """The criterion on the model's outputs for a batch."""
        outputs, target = self.outputs(model, batch)
        return self.criterion(outputs, target)

    def outputs(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """The model's outputs for the batch's inputs, and the target."""
        inputs, named, target = _parts(batch, self._target)
        return _model_output(model(*inputs, **named), self._outputs), target

    def in_double(self) -> "Supervised":
        """The same criterion with its own tensors (class weights) in float64."""
        if not isinstance(self.criterion, nn.Module):
            return self
        return Supervised(copy.deepcopy(self.criterion).double(), self._outputs, self._target)

    @property
    def name(self) -> str:
        """The criterion's name: that of its function, or of the class of torch's that it is or inherits from."""
        criterion = self._function
        known = (kind.__name__ for kind in type(criterion).__mro__ if kind.__module__ == nn.modules.loss.__name__)
        return getattr(criterion, "__name__", next(known, type(criterion).__name__))

    @property
    def convex(self) -> bool:
        """Whether the criterion is known to be convex in the model's output."""
        own = getattr(nn, self.name, None)
        forward = getattr(type(self._function), "forward", None)
        # a subclass of torch's that computes something of its own is not known
        changed = own is not None and forward is not getattr(own, "forward", None)
        return self.name in CONVEX and not changed

    @property
    def _function(self) -> Any:
        return self.criterion.func if isinstance(self.criterion, functools.partial) else self.criterion

    def option(self, name: str, default: Any = None) -> Any:
        """An option that the criterion was made with: an attribute, or a keyword of a partial."""
        if isinstance(self.criterion, functools.partial):
            return self.criterion.keywords.get(name, default)
        return getattr(self.criterion, name, default)

    def weight(self, batch: Any) -> float:
        """The weight of a batch in the mean over all data, with which unequal batches join to one large one.

        The number of samples; for class labels the number of those not ignored, or the sum of their class weights.
        """
        return self.weight_of(self.target(batch))

    def target(self, batch: Any) -> Any:
        """The target of a batch."""
        return _parts(batch, self._target)[2]

    def weight_of(self, target: Any) -> float:
        """The weight of a batch with this target."""
        if not isinstance(target, Tensor):
            if not hasattr(target, "__len__"):
                raise InvalidType(f"a batch's target must hold samples; got {target!r}")
            return float(len(target))
        kept = self._labels(target)
        if kept is None:
            return float(target.shape[0]) if target.ndim else 1.0
        class_weight = self.option("weight")
        return float(kept.numel() if class_weight is None else class_weight.to(kept.device)[kept].sum())

    def _labels(self, target: Tensor) -> Tensor | None:
        """The class labels of a target that are not ignored; None where it does not hold labels."""
        if self.name not in LABELLED or target.is_floating_point():
            return None
        return target[target != self.option("ignore_index", -100)]

    def weights(self, batches: Sequence[Any]) -> tuple[float, ...]:
        """The weight of each batch, by elements where the mean is over elements and their number per sample differs.

        Mean squares over sequences of length 2 and 7: a batch of the longer ones has 3.5 times the weight of one of as
        many samples of the shorter ones.
        """
        targets = [self.target(batch) for batch in batches]
        tensors = [t for t in targets if isinstance(t, Tensor)]
        shapes = {tuple(t.shape[1:]) for t in tensors}
        if self.name in ELEMENTS and len(tensors) == len(targets) and len(shapes) > 1:
            return tuple(float(t.numel()) for t in tensors)
        return tuple(self.weight(batch) for batch in batches)

    def constant_loss(self, batches: list[Any]) -> float | None:
        """The best loss of a model that ignores its input, or None where that is not simple.

        Cross-entropy on labels: the entropy of the label frequencies. Mean squares: the variance of the
        targets. Binary cross-entropy: the entropy of the targets' means. Per output column.
        """
        # with weights the best constant is no plain mean of the targets
        if any(self.option(name) is not None for name in ("weight", "pos_weight")):
            return None
        target = torch.cat([self.target(batch).detach().cpu() for batch in batches])
        kept = self._labels(target)
        if kept is not None:
            if self.option("label_smoothing", 0.0) or not kept.numel():
                return None
            # only the classes that occur: log 0 would be nan in 0 log 0
            p = kept.unique(return_counts=True)[1].double() / kept.numel()
            return float(-(p * p.log()).sum())
        target = target.double()
        if self.name in ("mse_loss", "MSELoss"):
            return float((target - target.mean(dim=0)).square().mean())
        if self.name.startswith(("binary_cross_entropy", "BCE")):
            p = target.mean(dim=0)
            return float(nn.functional.binary_cross_entropy(p, p))
        return None

    def __repr__(self) -> str:
        return f"supervised({self.name})"


class LossModule(nn.Module):
    """A model and its loss as one module, so that every access to a parameter inside it can be redirected."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        return as_scalar(self.loss(self.model, batch))


def refuse_criterion(loss: Loss) -> None:
    """Raise InvalidType if the loss is a criterion, which takes no model."""
    if isinstance(loss, nn.Module):
        name = type(loss).__name__
        raise InvalidType(f"loss must be loss(model, batch) and {name} is a criterion; wrap it: supervised({name}())")


def as_scalar(value: Any) -> Tensor:
    """The value that a loss returned, as a tensor of shape ()."""
    if not isinstance(value, Tensor):
        raise InvalidType(
            f"loss(model, batch) must return a scalar tensor; got a {type(value).__name__} "
            "(no .item(), so that it can be differentiated)"
        )
    if value.numel() != 1:
        shape = tuple(value.shape)
        raise InvalidInput(f"loss(model, batch) must be one number; got shape {shape}: take its mean()")
    if value.is_complex():
        raise InvalidType(f"loss(model, batch) must be real; got {value.dtype}")
    return value.reshape(())


@contextmanager
def locate(where: str) -> Generator[None]:
    """Say in the error where the caller's model or loss raised; our own errors pass unchanged.

    Parameters
    ----------
    where : str
        "at batch 3 of 8".

    Raises
    ------
    LossFailed
        From the error, which stays its cause.
    """
    try:
        yield
    except (SurefootError, torch.OutOfMemoryError):  # callers catch the second by its class
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise LossFailed(
            f"the loss raised {type(error).__name__} {where}{f': {text}' if text else ''}; "
            "try loss(model, batch) by itself on that batch"
        ) from error


def _parts(batch: Any, target: str | Callable[[Any], Any] | None = None) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """The model's arguments, by place and by name, and the target."""
    entry = target if isinstance(target, str) else LABELS
    inputs: tuple[Any, ...] = (batch,)
    named: dict[str, Any] = {}
    if isinstance(batch, Mapping):
        mapping = cast("Mapping[str, Any]", batch)
        inputs, named = (), {name: value for name, value in mapping.items() if name != entry}
        if not callable(target) and entry in mapping:
            return inputs, named, mapping[entry]
    elif isinstance(batch, tuple | list) and len(batch) >= 2:
        *given, last = batch
        inputs = tuple(given)
        if target is None:
            return inputs, named, last
    if callable(target):
        return inputs, named, target(batch)
    size = f" of length {len(batch)}" if isinstance(batch, tuple | list) else ""
    entries = f" with the entries {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
    wanted = f'mappings with an entry "{entry}"'
    raise InvalidType(
        f"supervised(...) needs batches {'(x, y) or ' if target is None else ''}{wanted}; got a "
        f"{type(batch).__name__}{size}{entries}; point to the target by target=, or write loss(model, batch)"
    )


def _model_output(returned: Any, outputs: str | int | Callable[[Any], Tensor] | None = None) -> Tensor:
    """The tensor among a model's outputs that the criterion takes."""
    if isinstance(returned, Tensor) and outputs is None:
        return returned
    name = outputs if isinstance(outputs, str) else "logits"
    if callable(outputs):
        chosen = outputs(returned)
    elif isinstance(outputs, int):
        chosen = returned[outputs]
    else:
        chosen = returned.get(name) if isinstance(returned, Mapping) else getattr(returned, name, None)
    if isinstance(chosen, Tensor):
        return chosen
    raise InvalidType(
        f"the model returns a {type(returned).__name__} without {name}, and a criterion takes one tensor; choose it by "
        "outputs=, or write loss(model, batch) yourself"
    )
