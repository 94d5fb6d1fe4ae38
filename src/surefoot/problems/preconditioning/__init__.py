"""Changes of variables, and the problem seen through one."""

from surefoot.problems.preconditioning._comparison import Comparison
from surefoot.problems.preconditioning._precondition import precondition
from surefoot.problems.preconditioning._preconditioned import Preconditioned

__all__ = [
    "Comparison",
    "Preconditioned",
    "precondition",
]
