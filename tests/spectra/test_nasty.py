"""Intervals on operators that are hard on purpose: none may miss at the default probability."""

import os

import numpy as np
import pytest

import surefoot as sf
from surefoot.operators import LinearMap

# all of them by `SUREFOOT_NASTY=330`; by default as many as take a second
COUNT = int(os.environ.get("SUREFOOT_NASTY", "33"))


def spectra(rng, n):
    """One spectrum of each kind."""
    bulk = rng.standard_normal(n)
    yield "outliers of both signs", np.r_[rng.uniform(3, 30, 5), -rng.uniform(3, 30, 5), bulk[10:]]
    yield "multiple top", np.r_[[5.0] * 7, rng.uniform(0, 4.99, n - 7)]
    yield "tight cluster at the top", np.r_[1 - 1e-9 * np.arange(20), rng.uniform(0, 0.5, n - 20)]
    yield "one over a high bulk", np.r_[1.001, rng.uniform(0.9, 1, n - 1)]
    yield "geometric", 10.0 ** -np.linspace(0, rng.uniform(3, 14), n)
    yield "semicircle", np.cos(np.pi * rng.uniform(size=n))
    yield "heavy tails", rng.standard_cauchy(n)
    yield "nearly zero", 1e-12 * bulk
    yield "negative definite", -np.abs(bulk) - 1
    yield "low rank", np.r_[rng.uniform(1, 2, 3), np.zeros(n - 3)]
    yield "huge and tiny", np.r_[1e12, 1e-12 * np.abs(bulk[1:])]


def rotated(values, rng):
    """The spectrum in a basis that no coordinate knows: two reflections."""
    u, w = rng.standard_normal((2, values.size))
    u, w = u / np.linalg.norm(u), w / np.linalg.norm(w)

    def reflect(x, axis):
        return x - 2 * axis * (axis @ x)

    def product(x):
        return reflect(reflect(values * reflect(reflect(x, u), w), w), u)

    return LinearMap((values.size, values.size), product, symmetric=True)


@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["stored", "three terms"])
def test_no_nasty_operator_is_missed(max_memory):
    done, seed = 0, 0
    while done < COUNT:
        rng = np.random.default_rng(seed)
        for name, values in spectra(rng, int(rng.integers(100, 600))):
            found = sf.spectrum(rotated(values, rng), rng=seed, max_products=120, max_memory=max_memory)
            # the product itself rounds, by the size of the largest entry
            slack = 1e-13 * np.abs(values).max()
            assert found.largest.lower - slack <= values.max() <= found.largest.upper + slack, (name, seed)
            assert found.smallest.lower - slack <= values.min() <= found.smallest.upper + slack, (name, seed)
            done += 1
        seed += 1
