"""Rows for networks in training."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from surefoot.errors import MissingExtra, SurefootError
from surefoot.targets._entry import Entry, Option

# resnet-mlp-64 is resnet-mlp with 64 blocks: nine digits are more than any depth, and no trouble to int().
RESNET = re.compile(r"resnet-mlp-(\d{1,9})")


def _network(name: str, factory: str, summary: str, extras: str = "training,data", **more: Any) -> Entry:
    """A row, by the name of its factory in `surefoot.training`, which is imported when something is built."""

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

    return Entry(name=name, kind="network", summary=summary, build=build, **more)


def _resnet(name: str) -> Mapping[str, Any] | None:
    deep = RESNET.fullmatch(name)
    return {"depth": int(deep[1])} if deep else ({} if name == "resnet-mlp" else None)


# The rows, in the order in which they are listed.
NETWORKS = (
    _network(
        "digits",
        "digits_task",
        "a small neural network on images of handwritten digits: SGD, momentum, Adam",
    ),
    _network(
        "mnist1d-cnn",
        "mnist1d_cnn_task",
        "a convolutional network on one-dimensional signals in ten classes, generated",
        "training",
    ),
    _network(
        "char-transformer",
        "char_transformer_task",
        "a small transformer that predicts the next character of Python's documentation",
        "training",
    ),
    _network(
        "digits-rnn",
        "digits_rnn_task",
        "an LSTM that reads the images of digits row by row",
    ),
    _network(
        "resnet-mlp",
        "resnet_mlp_task",
        "a residual MLP on the images of digits, 16 blocks; resnet-mlp-64 has 64, and so on from 4 to 256",
        options=(Option(name="depth", type=int, metavar="N", help="the number of residual blocks [16]"),),
        recognise=_resnet,
    ),
    _network(
        "wide-mlp",
        "wide_mlp_task",
        "how the rate must change with width: a ReLU network on digits in three parametrisations",
    ),
)
