"""The stability polynomial of any linear step, found by running the step on polynomials."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput, InvalidType, NotRepeatable
from surefoot.methods._base import Flow, Method, State
from surefoot.methods._rational import characteristic_polynomial, snap
from surefoot.methods._stability import StabilityPolynomial

Update = Callable[[State, Flow], State]

# Largest number of powers of z in a step, one per evaluation of the flow; tried in turn, since most steps have few.
LENGTHS = (8, 32, 128)
# Two evaluations of a step differ by rounding only, about 1e-15 per operation and stage; a step that is not linear, or
# not polynomial, is off by 1e-2 on the points below.
AGREEMENT = 1e-9
# The determinant costs memory^4 products of polynomials: six seconds for a full matrix at this size.
MOST_MEMORY = 12
# Points in general position, off the axes and of modulus near 1, so that no power of them is large or small.
PROBES = np.asarray([-0.3 + 0.7j, 0.5 - 0.2j, -0.9 - 0.4j])


@dataclass(frozen=True, slots=True, eq=False)
class FromUpdate(Method):
    """A method given by a function; see `from_update`."""

    step: Update
    arrays: int
    label: str
    polynomial: StabilityPolynomial

    @property
    def name(self) -> str:
        """The name, as given."""
        return self.label

    @property
    def memory(self) -> int:
        """The number of arrays, as given."""
        return self.arrays

    @property
    def order(self) -> int:
        """Order on linear flows."""
        return self.polynomial.order

    @property
    def evaluations(self) -> int:
        """Number of calls of the flow in a step."""
        count = 0

        def flow(x: NDArray[np.float64]) -> NDArray[np.float64]:
            nonlocal count
            count += 1
            return 0 * x

        self.step(tuple(np.ones(1) for _ in range(self.arrays)), flow)
        return count

    def stability(self) -> StabilityPolynomial:
        """The polynomial found from the function."""
        return self.polynomial

    def update(self, state: State, flow: Flow) -> State:
        """One step by the function."""
        return self.step(state, flow)


@checked
def from_update(update: Update, memory: Annotated[int, Range(f"[1, {MOST_MEMORY}]")] = 1, *, name: str = "") -> Method:
    """A method from its step function; its limits, rate and order follow.

    The step is run once for each memory array on polynomials in z, on which the flow x -> z x shifts coefficients: sums
    and multiples in the step then act on the stability polynomial itself.

    Parameters
    ----------
    update : callable
        ``update(state, f) -> state``: state a tuple of `memory` arrays, the first the iterate; f(x) is the step times
        the flow's right-hand side (for an optimiser: minus the step times the gradient). Linear in the state and f.
    memory : int
        Number of arrays in the state, from 1 to 12.
    name : str
        Name of the method; the function's if empty.

    Returns
    -------
    Method

    Raises
    ------
    InvalidType
        If update cannot be called or does not return a tuple of `memory` arrays.
    InvalidInput
        If the step is not linear, or not polynomial in z (implicit: subclass `Method`, or give a `ButcherTableau`).
    NotRepeatable
        If the same step gives two different answers: a stateful function.

    Examples
    --------
    Extragradient, 1 + z + z^2:

    >>> from surefoot.methods import from_update
    >>> extragradient = from_update(lambda state, f: (state[0] + f(state[0] + f(state[0])),), name="extragradient")
    >>> round(extragradient.real_limit, 12), round(extragradient.imaginary_limit, 12), extragradient.order
    (1.0, 1.0, 1)
    """
    label = name or getattr(update, "__name__", "") or "custom step"
    _check_linear(update, memory)
    polynomial = extract(update, memory)
    if polynomial is None:
        raise InvalidInput(
            f"{label} is not polynomial in the flow: a step of sums, multiples and calls of f is needed; "
            "for an implicit one give RungeKutta(ButcherTableau(...)) or subclass surefoot.methods.Method"
        )
    return FromUpdate(update, memory, label, polynomial)


def extract(update: Update, memory: int) -> StabilityPolynomial | None:
    """det(r I - M(z)) for a step whose matrix M is polynomial in z; None if it is not."""
    for length in LENGTHS:
        with np.errstate(all="ignore"):
            columns = [_run_on_powers(update, memory, j, length) for j in range(memory)]
            powers = np.asarray([[columns[j][i] for j in range(memory)] for i in range(memory)])
            if not np.isfinite(powers).all():
                return None
            # if the last power occurs, the shift may have pushed others out: try again with more
            if not powers[..., -1].any() and _agrees(update, powers):
                polynomial = characteristic_polynomial([[snap(entry) for entry in row] for row in powers.tolist()])
                while len(polynomial) > 2 and not any(polynomial[0]):
                    del polynomial[0]  # a root r = 0 belongs to memory that the step does not use
                return StabilityPolynomial(tuple(polynomial))
    return None


def _run_on_powers(update: Update, memory: int, column: int, length: int) -> list[NDArray[np.float64]]:
    """One step from a unit state on coefficients of powers of z, which the flow x -> z x shifts by one."""
    one = np.zeros(length)
    one[0] = 1.0
    state = tuple(one.copy() if i == column else np.zeros(length) for i in range(memory))
    result = update(state, lambda x: np.concatenate([[0.0], np.asarray(x)[:-1]]))
    return [np.asarray(array, dtype=np.float64) for array in result]


def _agrees(update: Update, coefficients: NDArray[np.float64]) -> bool:
    """Whether the polynomials reproduce the step at a few complex z; for an implicit step they do not."""
    memory = len(coefficients)
    powers = PROBES[:, None] ** np.arange(coefficients.shape[-1])
    for column in range(memory):
        state = tuple(np.full(PROBES.shape, 1.0 + 0j if i == column else 0j) for i in range(memory))
        result = np.stack([np.asarray(array) for array in update(state, lambda x: PROBES * x)])
        expected = coefficients[:, column, :] @ powers.T
        if not np.abs(result - expected).max() <= AGREEMENT * max(1.0, float(np.abs(expected).max())):
            return False
    return True


def _check_linear(update: Update, memory: int) -> None:
    """Refuse a step that is not linear or not repeatable, on fixed states and a flow with a full matrix."""
    rng = np.random.default_rng(20)  # fixed, so that the same step always gets the same answer
    J = rng.standard_normal((3, 3)) / 2
    one, other = ([rng.standard_normal(3) for _ in range(memory)] for _ in range(2))

    def run(state: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            result = update(tuple(array.copy() for array in state), lambda x: J @ x)
        if not isinstance(result, tuple) or len(result) != memory:
            got = f"{len(result)} arrays" if isinstance(result, tuple) else type(result).__name__
            raise InvalidType(f"update must return a tuple of memory={memory} arrays; got {got}")
        if any(np.shape(array) != (3,) for array in result):
            raise InvalidType(f"update must keep shapes; (3,) became {[np.shape(array) for array in result]}")
        return np.stack(result)

    first, again, second = run(one), run(one), run(other)
    if not np.array_equal(first, again, equal_nan=True):
        raise NotRepeatable("the same step gave two different answers; keep all of its memory in the state")
    combined = run([2 * a - 3 * b for a, b in zip(one, other, strict=True)])
    gap = np.abs(combined - (2 * first - 3 * second)).max()
    if not gap <= AGREEMENT * max(1.0, float(np.abs(combined).max())):
        raise InvalidInput(
            f"the step is not linear in its state (superposition is off by {gap:.2g}): stability limits are those "
            "of linear steps; freeze what depends on the state (a preconditioner, a clipping factor)"
        )
