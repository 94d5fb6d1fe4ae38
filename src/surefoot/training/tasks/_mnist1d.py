"""One-dimensional signals in ten classes, generated: no file, no network.

After the MNIST-1D data set of S. Greydanus and D. Kobak, Scaling down deep learning with MNIST-1D, ICML 2024
(github.com/greydanus/mnist1d, Apache-2.0): the templates and the order and sizes of the distortions are theirs. Random
numbers are drawn in another order, so samples are not theirs one by one.
"""

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

CLASSES = 10
LENGTH = 40

# Heights of a stroke of each digit at twelve points.
TEMPLATES = np.array([
    [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
    [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
    [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
    [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
    [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
    [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
    [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
    [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
])  # fmt: skip
# The published recipe's sizes of its distortions, and its classes and length.
PADDING = 36, 60
SCALE, SHIFT, SHEAR = 0.4, 48, 0.75
SMOOTH_NOISE, NOISE = 0.25, 0.02


def signals(samples: int, seed: int) -> tuple[Reals, NDArray[np.int64]]:
    """Signals and their classes: a template, padded, stretched, scaled, shifted, in noise, sheared and resampled.

    Parameters
    ----------
    samples : int
        A tenth of each class.
    seed : int

    Returns
    -------
    signals : array, shape (samples, 40)
        Levels of mean 0 and standard deviation 1 over all.
    classes : array, shape (samples,)
    """
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(samples) % CLASSES)
    drawn, inside = _place(classes, rng)
    smooth = gaussian_filter1d(SMOOTH_NOISE * rng.standard_normal(drawn.shape), 2, axis=1)
    drawn = np.where(inside, drawn, smooth) + NOISE * rng.standard_normal(drawn.shape)
    slope = SHEAR * (rng.random((samples, 1)) - 0.5)
    drawn = drawn - slope * np.linspace(-0.5, 0.5, drawn.shape[1])
    at = np.linspace(0, drawn.shape[1] - 1, LENGTH)
    drawn = np.stack([np.interp(at, np.arange(row.size), row) for row in drawn])
    return (drawn - drawn.mean()) / drawn.std(), classes


def _place(classes: NDArray[np.int64], rng: np.random.Generator) -> tuple[Reals, NDArray[np.bool_]]:
    """Each sample's template, padded, stretched, scaled and shifted within 72 points, and a mask of where it lies."""
    templates = TEMPLATES - TEMPLATES.mean(axis=1, keepdims=True)
    templates = templates / templates.std(axis=1, keepdims=True)
    templates = (templates - templates[:, :1]) / 6  # starts at 0
    points = templates.shape[1]
    long = points + PADDING[1]
    signals = np.zeros((classes.size, long))
    inside = np.zeros(signals.shape, dtype=bool)
    for row, mask, kind in zip(signals, inside, classes, strict=True):
        at = np.linspace(0, points + rng.integers(PADDING[0], PADDING[1] + 1) - 1, long)
        shift = int(rng.integers(SHIFT))
        stretched = np.interp(at, np.arange(points), templates[kind], right=0.0)
        row[:] = np.roll(stretched * (1 + SCALE * (rng.random() - 0.5)), shift)
        mask[:] = np.roll(at < points, shift)
    return signals, inside
