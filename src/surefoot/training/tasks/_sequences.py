"""Built-in problems on signals, text and rows: a convolutional, an attention and a recurrent network."""

from collections import Counter
from functools import partial

import torch
from torch import Tensor, nn

from surefoot.training.model import supervised
from surefoot.training.tasks._digits import digits
from surefoot.training.tasks._mnist1d import CLASSES, signals
from surefoot.training.tasks._task import Task

# Sizes small enough to train on two cores while one waits. By convention.
SIGNALS = 4000
CHANNELS = 24
CHARACTERS = 95  # the most frequent ones; every other is one more
CONTEXT = 32
WINDOWS = 600
WIDTH, HEADS, LAYERS = 48, 2, 2
UNITS = 48


def mnist1d_cnn_task(rng: int = 0) -> Task:
    """MNIST-1D: three strided convolutions of 24 channels with ReLU, and a linear layer, on 4000 generated signals.

    The signals (length 40, ten classes) are made by the published recipe. Float32,
    PyTorch's default initialisation under the seed, mini-batches of 100, curvature on 500 signals.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the samples; the data is always the same.

    Returns
    -------
    Task
    """
    x, y = signals(SIGNALS, seed=0)
    data = torch.as_tensor(x, dtype=torch.float32)[:, None], torch.as_tensor(y)
    loss = supervised(nn.functional.cross_entropy)
    return Task(_convolutional, loss, data, name="mnist1d-cnn", batch_size=100, curvature_samples=500, rng=rng)


def char_transformer_task(rng: int = 0) -> Task:
    """Next characters of Python's own documentation: a transformer of two layers, width 48, context 32.

    The text is what ``help()`` shows about the language (`pydoc_data.topics`, part of the standard library), cut into
    600 windows at places drawn once; it differs a little between Python versions. Float32, PyTorch's default
    initialisation under the seed, mini-batches of 8 windows, curvature on 16.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the windows.

    Returns
    -------
    Task
    """
    text, characters = _encode_text()
    starts = torch.randint(len(text) - CONTEXT, (WINDOWS, 1), generator=torch.Generator().manual_seed(0))
    windows = text[starts + torch.arange(CONTEXT + 1)]
    data = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    loss = supervised(nn.functional.cross_entropy)
    model = partial(CharTransformer, characters)
    return Task(model, loss, data, name="char-transformer", batch_size=8, curvature_samples=16, rng=rng)


def digits_rnn_task(rng: int = 0) -> Task:
    """Handwritten digits read row by row: an LSTM of 48 units over 8 rows of 8 pixels, and a linear layer.

    Scikit-learn's 1797 images, pixels in [0, 1]. Float32, PyTorch's default initialisation under the seed, mini-batches
    of 64, curvature on 500 images.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the samples.

    Returns
    -------
    Task

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    x, y = digits()
    data = x.reshape(-1, 8, 8), y
    loss = supervised(nn.functional.cross_entropy)
    return Task(RowReader, loss, data, name="digits-rnn", batch_size=64, curvature_samples=500, rng=rng)


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, CHANNELS, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * CHANNELS, CLASSES),
    )


def _encode_text() -> tuple[Tensor, int]:
    """The text as numbers, and the number of different characters."""
    from pydoc_data import topics

    pages: dict[str, str] = topics.topics
    text = "\n".join(pages[name] for name in sorted(pages))
    common = [character for character, _ in Counter(text).most_common(CHARACTERS)]
    code = {character: i + 1 for i, character in enumerate(common)}
    return torch.tensor([code.get(character, 0) for character in text]), len(code) + 1


class CharTransformer(nn.Module):
    """Causal attention over characters; (batch, time) in, (batch, characters, time) out, as cross-entropy takes it."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, WIDTH)
        self.place = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, characters)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character at each place."""
        time = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time, device=x.device)
        h = self.embed(x) + self.place.weight[:time]
        return self.out(self.body(h, mask=mask, is_causal=True)).transpose(1, 2)


class RowReader(nn.Module):
    """An LSTM over the rows of an image, and a linear layer on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(8, UNITS, batch_first=True)
        self.out = nn.Linear(UNITS, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of images of shape (batch, 8, 8)."""
        return self.out(self.rows(x)[0][:, -1])
