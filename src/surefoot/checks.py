"""What every public function asks of its arguments' types, by its own hints: one check for all rooms.

A function decorated with `checked` refuses an argument that its annotation does not allow, by name, before anything is
computed with it. A number's range is a part of its annotation (`Positive`, or ``Annotated[float, Range("[0, 1)")]``);
shapes, and what ties one argument to another, are the function's own business.
"""

import functools
import inspect
import math
import os
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from surefoot.errors import InvalidInput, InvalidType

__all__ = ["checked", "real_array", "refuse_mask"]

T = TypeVar("T")
Test = Callable[[Any], bool]
Clean = Callable[[Any, str], Any]

# NumPy's letters for the dtypes of real and of whole numbers.
REAL, WHOLE = frozenset("uif"), frozenset("iu")
# What the 64 bits of an array's index or of a seed hold, and what a float does.
MOST_WHOLE, MOST_REAL = 2**63, 2**1023
# Elements of a list that are looked at: a longer one is data, which its reader checks as a whole.
LOOKED_AT = 100
# Values that are no object with attributes of their own: none of them fits a protocol.
PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, type(None))


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an argument may be, as mathematicians write an interval: "(0, inf)", "[0, 1)", "[1, 12]".

    Never infinity or NaN. A function gets what it was given as a plain float, or as an int where its hint is one. The
    error ends with `advice`, if there is some: why the range is what it is, or what to do instead.
    """

    interval: str
    advice: str = ""

    def clean(self, value: Any, name: str, *, whole: bool) -> float:
        """The number, if it lies in the interval.

        Raises
        ------
        InvalidInput
            If it does not.
        """
        low, high = (float(end) for end in self.interval[1:-1].split(","))
        number = value.__index__() if whole else float(value)
        above = low < number or (low == number and self.interval[0] == "[")
        below = number < high or (number == high and self.interval[-1] == "]")
        if not (above and below and -math.inf < number < math.inf):
            advice = f"; {self.advice}" if self.advice else ""
            raise InvalidInput(f"{name} must {self._words(low, high, whole)}; got {value!r}{advice}")
        return number

    def _words(self, low: float, high: float, whole: bool) -> str:
        if whole:
            return (
                f"be a whole number >= {low:g}" if high == math.inf else f"be a whole number from {low:g} to {high:g}"
            )
        plain = {
            "(0, inf)": "be positive and finite", "(0, 1)": "lie strictly between 0 and 1",
            "(-inf, inf)": "be a finite number", "[0, inf)": "be finite and >= 0",
        }  # fmt: skip
        return plain.get(self.interval, f"be in {self.interval}")


# The ranges that are asked for most often.
Positive = Annotated[float, Range("(0, inf)")]
Nonnegative = Annotated[float, Range("[0, inf)")]
Fraction = Annotated[float, Range("(0, 1)")]
Finite = Annotated[float, Range("(-inf, inf)")]
Share = Annotated[float, Range("[0, 1)")]
Count = Annotated[int, Range("[1, inf)")]


def checked(target: T) -> T:
    """A function, or a class's constructor, that refuses arguments of the wrong type or out of range.

    A number of NumPy is a number, and so is an array without dimensions: the function gets Python's, since one of low
    precision would carry it into what it is multiplied with. A masked array is never taken, because its mask would be
    lost.

    Raises
    ------
    InvalidType
        When it is called with an argument of the wrong type.
    InvalidInput
        When a number is out of its range.

    Examples
    --------
    >>> from surefoot.checks import checked
    >>> @checked
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half("1")
    Traceback (most recent call last):
        ...
    surefoot.errors.InvalidType: x must be a number; got '1' (str)
    """
    if isinstance(target, type):
        made: Any = target
        made.__init__ = _wrap(made.__init__)
        return target
    return typing.cast("T", _wrap(target))


def real_array(value: Any, name: str) -> Any:
    """A float64 array of the numbers in an array, a list or a number; a copy only where it has to be.

    Raises
    ------
    InvalidType
        If it holds anything but real numbers, or has a mask.

    Examples
    --------
    >>> from surefoot.checks import real_array
    >>> real_array([1, 2], "weights")
    array([1., 2.])
    >>> real_array(["a"], "weights")
    Traceback (most recent call last):
        ...
    surefoot.errors.InvalidType: weights must hold real numbers; got dtype <U1
    """
    import numpy as np

    refuse_mask(value, name)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidType(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "buif":
        raise InvalidType(f"{name} must hold real numbers; got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def random_generator(rng: Any) -> Any:
    """The generator of a seed, or the one that was given.

    Raises
    ------
    InvalidInput
        If the seed is negative.
    """
    import numpy as np

    if isinstance(rng, np.random.Generator):
        return rng
    seed = int(rng)
    if seed < 0:
        raise InvalidInput(f"rng must be a nonnegative seed; got {rng!r}")
    return np.random.default_rng(seed)


def as_path(path: str | os.PathLike[str]) -> Path:
    """The path that a person means: ~ is their home, which shells of Windows, and quotes in any, leave as it is.

    Raises
    ------
    InvalidInput
        If it begins with ~ and the name of nobody, or has a NUL in it, which no file's name has.
    """
    if "\0" in os.fspath(path):
        raise InvalidInput(f"{os.fspath(path)!r} is no path: it holds a NUL; check it")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInput(f"{os.fspath(path)}: cannot be found ({error}); write the path out") from None


def refuse_mask(value: Any, name: str) -> None:
    """Nothing, unless the value is a masked array: reading it would lose the mask.

    Raises
    ------
    InvalidType
        If it is.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.checks import refuse_mask
    >>> refuse_mask(np.ma.masked_equal([1.0, -9.0], -9.0), "data")
    Traceback (most recent call last):
        ...
    surefoot.errors.InvalidType: data is a masked array, whose mask would be lost; fill or drop what is masked
    """
    if _has_mask(value):
        raise InvalidType(f"{name} is a masked array, whose mask would be lost; fill or drop what is masked")


def _wrap(function: Any) -> Any:
    signature = inspect.signature(function)

    @functools.cache
    def tests() -> dict[str, tuple[Test, str, Clean | None]]:
        # at the first call: hints may name what is imported later
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError:  # a name for type checkers only
            return {}
        return {name: (_test(hint), _words(hint), _clean(hint)) for name, hint in hints.items() if name != "return"}

    variadic = {p.name for p in signature.parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own words for a missing or unknown argument
        known = tests()
        for name, value in bound.arguments.items():
            if name not in known or name in variadic:
                continue
            test, words, clean = known[name]
            if not test(value):
                raise InvalidType(f"{name} must be {words}; got {_show(value)}{_where(value, test)}")
            if clean is not None and value is not None:
                bound.arguments[name] = clean(value, name)
        return function(*bound.args, **bound.kwargs)

    return call


def spell_out(hint: Any) -> Any:
    """What an alias made by a ``type`` statement stands for, as NDArray and ArrayLike are from NumPy 2.5 on."""
    origin = get_origin(hint)
    if hasattr(origin, "__value__"):
        return spell_out(origin.__value__[get_args(hint)])
    return spell_out(hint.__value__) if hasattr(hint, "__value__") else hint


def _clean(hint: Any) -> Clean | None:
    """What makes of a value and its name the value to go on with, or an error, where a hint says what is allowed."""
    hint = spell_out(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(args[1], Range):
        return functools.partial(args[1].clean, whole=args[0] is int)
    if origin is Literal:
        return functools.partial(_choose, args)
    if origin in (Union, types.UnionType):
        cleans = [clean for clean in map(_clean, args) if clean is not None]
        return next((clean for clean in cleans if clean is not _plain), _plain if cleans else None)
    return _plain if hint in SCALARS else None


def _plain(value: Any, name: str) -> Any:  # noqa: ARG001 - what every cleaner is called with
    """Python's number of an array without dimensions, of a NumPy scalar too."""
    return value.item() if hasattr(value, "dtype") and _dimensions(value) == 0 else value


def _choose(choices: Sequence[Any], value: Any, name: str) -> Any:
    if isinstance(value, type(choices[0])) and value not in choices:
        *others, last = map(repr, choices)
        raise InvalidInput(f"{name} must be {', '.join(others)} or {last}; got {value!r}")
    return value


def _test(hint: Any) -> Test:
    """A test whether a value is what a hint says; always true where that cannot be tested."""
    hint = spell_out(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _test(args[0])
    if hint in SCALARS:
        return SCALARS[hint][0]
    if _is_array(hint):
        test = _reals if "float64" in str(hint) else _numbers
        return (lambda value: value is None or test(value)) if type(None) in args else test
    if origin in (Union, types.UnionType):
        members = [_test(arg) for arg in args]
        return lambda value: any(member(value) for member in members)
    if origin is Literal:
        kinds = tuple({type(arg) for arg in args})
        return lambda value: isinstance(value, kinds)
    kind = origin or hint
    if kind is Any or not isinstance(kind, type):  # or a type variable, an alias
        return lambda value: not _has_mask(value)
    if kind is abc.Callable:
        return callable
    if kind is tuple and args and args[-1] is not Ellipsis:
        return _row([_test(arg) for arg in args])
    if kind in (list, tuple, abc.Sequence, abc.Iterable, abc.Collection):
        return _iterable(args[0] if args else Any, indexed=kind not in (abc.Iterable, abc.Collection))
    if getattr(kind, "_is_protocol", False):
        return _has(_members(kind))
    return lambda value: isinstance(value, kind)


def _iterable(element: Any, *, indexed: bool) -> Test:
    inner = _test(element)

    def test(value: Any) -> bool:
        if isinstance(value, str | bytes | Mapping) or _has_mask(value) or not isinstance(value, Iterable):
            return False
        # a generator has no length, and a sparse matrix no rows to go through
        if (indexed and not hasattr(value, "__getitem__")) or hasattr(value, "tocsr"):
            return False
        if hasattr(value, "dtype"):  # an array: of numbers, where it stands for several of them
            of_numbers = element in SCALARS and _dimensions(value) == 1 and _kind(value) in REAL
            if element is Any:
                return _dimensions(value) > 0 and _kind(value) != "O"
            of_rows = not (isinstance(element, type) or element in SCALARS)
            return of_numbers or (of_rows and _dimensions(value) > 1 and _kind(value) in REAL)
        return not isinstance(value, Sequence) or all(map(inner, value[:LOOKED_AT]))

    return test


def _row(tests: Sequence[Test]) -> Test:
    """So many values, each of its kind: a tuple, a list or an array."""

    def test(value: Any) -> bool:
        if _has_mask(value) or not (isinstance(value, list | tuple) or _dimensions(value) == 1):
            return False
        members = list(value)
        return len(members) == len(tests) and all(t(member) for t, member in zip(tests, members, strict=True))

    return test


def _members(protocol: Any) -> list[str]:
    """What an object needs to be one; its own and that of the protocols it extends."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False) and base.__module__ != "typing"]
    names = {name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    return sorted(name for name in names if name == "__call__" or not name.startswith("_"))


def _has(names: Iterable[str]) -> Test:
    """What has all attributes of a protocol; looked for in its class first, where no property is computed."""

    def test(value: Any) -> bool:
        if isinstance(value, PLAIN) or type(value).__module__.startswith("numpy"):
            return False
        return all(hasattr(type(value), name) or hasattr(value, name) for name in names)

    return test


def _is_array(hint: Any) -> bool:
    """Whether a hint is for NumPy's arrays or what becomes one; by name, as rooms without NumPy load this module."""
    hint = spell_out(hint)
    if "_SupportsArray" in str(hint):  # ArrayLike, a union of what has an array inside
        return get_origin(hint) in (Union, types.UnionType)
    return "numpy.ndarray" in (str(hint), str(get_origin(hint))) or "'numpy.ndarray'" in str(get_origin(hint) or hint)


def _reals(value: Any) -> bool:
    return _numbers(value, "buif")


def _numbers(value: Any, kinds: str = "buifc") -> bool:
    import numpy as np

    if _has_mask(value):
        return False
    if not isinstance(value, str | bytes | Mapping) and value is not None:
        try:
            return np.asarray(value).dtype.kind in kinds
        except (TypeError, ValueError, RuntimeError):  # rows of unequal length, a tensor that is not at hand
            return False
    return False


def _has_mask(value: Any) -> bool:
    return any(kind.__module__.startswith("numpy.ma") for kind in type(value).__mro__)


def _kind(value: Any) -> str:
    """NumPy's letter for a dtype; of other libraries' arrays, which have none, the one for numbers."""
    return getattr(value.dtype, "kind", "f") if hasattr(value, "dtype") else "none"


def _dimensions(value: Any) -> int:
    return getattr(value, "ndim", -1)  # an operator has a dtype, and is no array


def _is_real(value: Any) -> bool:
    if isinstance(value, Integral):
        return abs(int(value)) < MOST_REAL
    if isinstance(value, Real):
        return not _has_mask(value)
    return _kind(value) in REAL and _dimensions(value) == 0 and not _has_mask(value)


def _is_whole(value: Any) -> bool:
    if _is_truth(value):  # a number to Python, and a slip where a number is asked for
        return False
    whole = isinstance(value, Integral) or (_kind(value) in WHOLE and _is_real(value))
    return whole and abs(int(typing.cast("Any", value))) < MOST_WHOLE


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


# What to call a class that lives elsewhere than it is imported from, or that a function makes.
KNOWN = {
    "numpy.random._generator.Generator": "a numpy.random.Generator",
    "torch.Tensor": "a torch.Tensor",
    "torch.nn.modules.module.Module": "a torch.nn.Module",
    "torch.optim.optimizer.Optimizer": "a torch.optim.Optimizer",
    "surefoot.training.curvature.operator.CurvatureOperator": "a curvature operator, as hessian makes it",
    "surefoot.training.model.loss.Supervised": "supervised(criterion), so that its kind is known",
    "surefoot.training.loop.loop.Loop": "a Guard, a Pilot or a Loop",
}

# Each scalar with its test and its words.
SCALARS: dict[Any, tuple[Test, str]] = {
    float: (_is_real, "a number"),
    int: (_is_whole, "a whole number"),
    bool: (_is_truth, "True or False"),
    str: (lambda value: isinstance(value, str), "a text"),
    complex: (lambda value: isinstance(value, complex) or _is_real(value), "a number"),
    type(None): (lambda value: value is None, "None"),
}


def _words(hint: Any) -> str:
    """A hint in words."""
    hint = spell_out(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _words(args[0])
    if hint in SCALARS:
        return SCALARS[hint][1]
    if origin is tuple and args and args[-1] is not Ellipsis:
        return "(" + ", ".join(map(_words, args)) + ")"
    if _is_array(hint):
        return "an array of numbers, without a mask"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(arg) for arg in args))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if hint is Any:
        return "without a mask"
    kind = origin or hint
    if kind is abc.Callable:
        return "a function"
    if kind in (list, tuple, abc.Sequence, abc.Iterable, abc.Collection):
        if not args or args[0] is Any:
            return "several values"
        one = _words(args[0])
        plural = one.startswith("a ") and " or " not in one and "," not in one
        return f"several {one[2:]}s" if plural else f"several of {one}"
    name = getattr(kind, "__name__", str(kind))
    article = "an" if name[0] in "AEIOU" else "a"
    if getattr(kind, "_is_protocol", False):
        return f"{article} {name}, with {', '.join(_members(kind))}"
    return KNOWN.get(f"{getattr(kind, '__module__', '')}.{name}", f"{article} {name}")


def _where(values: Any, test: Test) -> str:
    """Which of several values is wrong, where the others would do."""
    if not isinstance(values, list | tuple):
        return ""
    wrong = [i for i, value in enumerate(values[:LOOKED_AT]) if not test([value])]
    return f", of which [{wrong[0]}] is {_show(values[wrong[0]])}" if wrong and len(wrong) < len(values) else ""


def _show(value: Any) -> str:
    large = isinstance(value, int) and abs(value) >= MOST_WHOLE  # Python refuses to print the largest of them
    text = f"an integer of {value.bit_length()} bits" if large else " ".join(repr(value).split())
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"
