"""Small problems with nothing hidden."""

import numpy as np

from surefoot.problems import Problem
from surefoot.spectra import Bounds, Spectrum


class Smooth(Problem):
    """A function given by x -> (value, gradient), and where it starts."""

    def __init__(self, both, start):
        self.both = both
        self.x0 = np.asarray(start, dtype=float)

    @property
    def name(self):
        return "function"

    @property
    def size(self):
        return len(self.x0)

    def value(self, x):
        return self.both(x)[0]

    def gradient(self, x):
        return self.both(x)[1]

    def hessian_product(self, x, v):
        eps = 1e-6
        return (self.both(x + eps * v)[1] - self.both(x - eps * v)[1]) / (2 * eps)

    def curvature(self):
        raise NotImplementedError

    def start(self):
        return self.x0.copy()


class Diagonal(Smooth):
    """sum of curvature * x^2/2."""

    def __init__(self, curvatures, start):
        self.curvatures = np.asarray(curvatures, dtype=float)
        super().__init__(self._both, start)

    def _both(self, x):
        g = self.curvatures * x
        return 0.5 * float(x @ g), g

    @property
    def convex(self):
        return True

    def hessian_product(self, x, v):
        return self.curvatures * v

    def curvature(self):
        return Spectrum(
            kind="curvature",
            largest=Bounds.exactly(self.curvatures.max()),
            smallest=Bounds.exactly(self.curvatures.min()),
            size=self.size,
            provenance="exact",
        )
