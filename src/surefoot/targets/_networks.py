"""Rows for networks in training."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from surefoot.errors import MissingExtra, SurefootError
from surefoot.targets._entry import Entry, Option

# resnet-mlp-64 is resnet-mlp with 64 blocks: nine digits are more than any depth, and no trouble to int().
RESNET = re.compile(r"resnet-mlp-(\d{1,9})")


def _builder(factory: str, extras: str) -> Callable[..., tuple[Any, ...]]:
    """A builder by the name of its factory in `surefoot.training`, imported when something is built."""

    def build(rng: int, **options: Any) -> tuple[Any, ...]:
        try:
            make = getattr(import_module("surefoot.training"), factory)
        except SurefootError:
            raise
        except ImportError as error:
            raise MissingExtra(
                f"this is a PyTorch network; pip install '.[{extras}]' in a checkout of Surefoot"
            ) from error
        return (make(rng=rng, **options),)

    return build


def _resnet(name: str) -> Mapping[str, Any] | None:
    deep = RESNET.fullmatch(name)
    return {"depth": int(deep[1])} if deep else ({} if name == "resnet-mlp" else None)


NETWORKS = (
    Entry(
        name="digits",
        kind="network",
        summary="a small neural network on images of handwritten digits: SGD, momentum, Adam",
        build=_builder("digits_task", "training,data"),
    ),
    Entry(
        name="mnist1d-cnn",
        kind="network",
        summary="a convolutional network on one-dimensional signals in ten classes, generated",
        build=_builder("mnist1d_cnn_task", "training"),
    ),
    Entry(
        name="char-transformer",
        kind="network",
        summary="a small transformer that predicts the next character of Python's documentation",
        build=_builder("char_transformer_task", "training"),
    ),
    Entry(
        name="digits-rnn",
        kind="network",
        summary="an LSTM that reads the images of digits row by row",
        build=_builder("digits_rnn_task", "training,data"),
    ),
    Entry(
        name="resnet-mlp",
        kind="network",
        summary="a residual MLP on the images of digits, 16 blocks; resnet-mlp-64 has 64, and so on from 4 to 256",
        build=_builder("resnet_mlp_task", "training,data"),
        options=(Option(name="depth", type=int, metavar="N", help="the number of residual blocks [16]"),),
        recognise=_resnet,
    ),
    Entry(
        name="wide-mlp",
        kind="network",
        summary="how the rate must change with width: a ReLU network on digits in three parametrisations",
        build=_builder("wide_mlp_task", "training,data"),
    ),
)
