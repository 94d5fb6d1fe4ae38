"""What a column is, by its name: the rate, the loss, the gradient's norm, the loss scale, the position of the run."""

import re
from collections.abc import Sequence
from typing import Literal

Role = Literal["rate", "loss", "validation", "norm", "scale"]

# The best first: what counts updates before what counts batches.
STEPS = (
    *("step", "global_step", "_step", "steps", "train_step", "current_step"),
    *("iteration", "iterations", "iter", "iters"),
    *("num_updates", "update", "updates", "it", "k", "batches_done", "batch", "t", "s"),
)
# What counts passes over the data: taken for the position where nothing counts steps.
EPOCHS = ("epoch", "epochs", "current_epoch")
# Whole names of a rate; "rate" alone may be another one and is the last choice.
_RATES = ("lr", "learning_rate", "learningrate", "rate", "train_lr")
# Words that make a loss one of data that are not trained on.
_HELD_OUT = {"val", "valid", "validation", "eval", "evaluation", "test", "dev", "tel", "heldout"}
# Words that make another quantity of a loss, a norm or a rate.
_NO_LOSS = {"scale", "scaler", "lossscale", "scaling", "min", "max", "std", "best", "weight", "weights", "count"}
_NO_RATE = {"decay", "mult", "multiplier", "ratio", "scheduler", "warmup", "min", "max", "drop", "error"}
_NO_NORM = {"param", "params", "parameter", "weight", "weights", "update", "ratio", "std", "clipping"}
# trn and trl: nanoGPT's successors and llm.c.
_LOSSES = {"nll", "objective", "cost", "xent", "trn", "trl", "tel", "crossentropy", "mse", "elbo"}
# Words that may stand beside a gradient's norm without making it the norm of a layer.
_PLAIN_NORM = {
    *("grad", "grads", "gradient", "norm", "train", "total", "global", "gnorm", "gradnorm", "l2", "2", "2.0", "0"),
    *("step", "optim", "optimizer", "lm", "before", "pre", "clip", "unclipped", "opt", "training"),
}
# Words of running means, which hide spikes.
_SMOOTHED = {"smooth", "smoothed", "ema", "avg", "average", "running"}


def bare(column: str) -> str:
    """The last part of a tag, in lower case: train/Learning Rate is learning_rate; of "run - loss" it is loss."""
    return column.rpartition("/")[2].rpartition(" - ")[2].strip().lower().replace(" ", "_")


def role_of(column: str) -> tuple[Role, int] | None:
    """What a column is, and how plainly its name says so (0 the plainest); None if it is nothing that is read."""
    words = _words(column)
    known = set(words)
    for role, rank in (
        ("scale", _scale(words, known)),
        ("rate", _rate(column, known, words)),
        ("norm", _norm(words, known)),
        ("loss", _loss(words, known)),
    ):
        if rank is not None:
            if role == "loss" and known & _HELD_OUT:
                return "validation", rank
            return role, rank  # pyright: ignore[reportReturnType]
    return None


def _words(column: str) -> list[str]:
    """train/LearningRate-AdamW is train, learning, rate, adam, w."""
    name = column.rpartition(" - ")[2]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z0-9.]+", name.lower()) if word]


def _scale(words: Sequence[str], known: set[str]) -> int | None:
    if known & {"lossscale", "scaler", "gradscaler"} or (
        "scale" in known and (known & {"loss", "grad", "amp", "fp16"} or words == ["scale"])
    ):
        return 0
    return None


def _rate(column: str, known: set[str], words: Sequence[str]) -> int | None:
    if known & _NO_RATE:
        return None
    if bare(column) in _RATES:
        return 3 if bare(column) == "rate" else 0
    joined = " ".join(words)
    if "lr" in known or "learningrate" in known or "learning rate" in joined:
        return 2 if "base" in known else 1
    return None


def _norm(words: Sequence[str], known: set[str]) -> int | None:
    # norms of parameters and of updates are logged beside the gradient's
    if known & _NO_NORM:
        return None
    about = known & {"gnorm", "gradnorm"} or ("norm" in known and known & {"grad", "grads", "gradient", "gradients"})
    if not about and words not in (["norm"], ["total", "norm"], ["global", "norm"]):
        return None
    # after clipping it says little: taken only if there is nothing else
    if "clipped" in known:
        return 8
    # more words than these name a layer
    return 1 if not known - _PLAIN_NORM else 6


def _loss(words: Sequence[str], known: set[str]) -> int | None:
    named = [word for word in words if word == "loss" or word.endswith("loss")]
    if known & _NO_LOSS or not (named or known & _LOSSES):
        return None
    # a running mean hides spikes and comes late to every rise
    if known & _SMOOTHED:
        return 7
    rest = known - _HELD_OUT - {"loss", "train", "training", "metrics", "metric"}
    if not rest:
        # "loss" and "eval_loss" before "train/loss", which is at least as plain as "training_loss"
        return 0 if len(words) <= 1 or known & _HELD_OUT else 1
    if rest <= {"step", "lm", "total", "all"} or rest <= _LOSSES:
        return 2
    return 4 if rest <= {"epoch"} else 5
