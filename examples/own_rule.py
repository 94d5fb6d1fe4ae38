"""Gradient descent with every third step three times as long: `surefoot race quadratic --rules own_rule:longer`."""

import surefoot as sf
from surefoot.rules import Schedule


class Longer(Schedule):
    """Two steps of 1e-4, then one of 3e-4."""

    def at(self, k):
        """The step of move k."""
        return 3e-4 if k % 3 == 2 else 1e-4


def longer():
    """A rule."""
    return Longer()


def relaxed():
    """A method: half of what gradient descent does."""
    return sf.methods.from_update(lambda state, f: (state[0] + 0.5 * f(state[0]),), memory=1)
