"""Line searches, and what they share."""

from surefoot.rules.searches._armijo import Armijo
from surefoot.rules.searches._backtracking import Backtracking
from surefoot.rules.searches._wolfe import StrongWolfe

__all__ = ["Armijo", "Backtracking", "StrongWolfe"]
