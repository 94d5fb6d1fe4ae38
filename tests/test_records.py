import contextlib
import importlib
import inspect
import json
import math
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum

import numpy as np
import pytest
import torch

import surefoot
from surefoot import records, rules
from surefoot.checks import spell_out
from surefoot.errors import InvalidInput, InvalidType, MissingExtra
from surefoot.methods import Method
from surefoot.records import Record
from surefoot.rules import Decision, Rule
from surefoot.spectra import Bounds, Spectrum
from surefoot.stability import ClippedLimits
from surefoot.training.width.wide import WidthPoint, WidthStudy

# Dataclasses that public functions return and that are no results: they act, configure, or
# hold what a file held.
NOT_RESULTS = {
    "Candidate", "Contender", "Curves", "Discrepancy", "Entry", "Known", "LogFile", "NamedRule", "ODE", "Practice",
    "ProblemCandidate", "StabilityPolynomial",
}  # fmt: skip


# Records whose numbers have to go together.
SAMPLES = {
    Bounds: Bounds(-math.inf, 2.5, "estimate", "probabilistic", 1e-6),
    WidthStudy: WidthStudy(
        points=tuple(
            WidthPoint(parametrization="mup", width=n, predicted=1.0, measured=1.1, best=0.5, tried=((1.0, math.nan),))
            for n in (64, 128)
        ),
        steps=30,
        networks=2,
    ),
}


def every_module():
    modules = []
    for module in pkgutil.walk_packages(surefoot.__path__, "surefoot."):
        with contextlib.suppress(MissingExtra):  # an integration whose library is not here
            modules.append(importlib.import_module(module.name))
    return modules


def dataclasses_in(hint):
    found = {kind for part in typing.get_args(hint) for kind in dataclasses_in(part)}
    ours = isinstance(hint, type) and hint.__module__.startswith("surefoot") and is_dataclass(hint)
    return found | {hint} if ours else found


def functions_of(thing):
    if inspect.isfunction(thing):
        return [thing]
    if not inspect.isclass(thing):
        return []
    members = [value for name, value in inspect.getmembers(thing) if not name.startswith("_")]
    members = [m.fget if isinstance(m, property) else getattr(m, "__func__", m) for m in members]
    return [m for m in members if inspect.isfunction(m)]


def returned_types():
    """The dataclasses that a user can come by: what the public functions and methods of the rooms return."""
    rooms = [surefoot, *(m for m in every_module() if m.__name__.count(".") == 1)]
    doors = [getattr(room, name) for room in rooms for name in getattr(room, "__all__", ())]
    hints = [typing.get_type_hints(f).get("return") for door in doors for f in functions_of(door)]
    return {kind for hint in hints for kind in dataclasses_in(hint)}


def all_records():
    """Every subclass of Record, wherever it is defined."""
    found = [
        thing
        for module in every_module()
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Record) and thing.__module__ == module.__name__
    ]
    return sorted({kind for kind in found if is_dataclass(kind)}, key=lambda kind: (kind.__module__, kind.__name__))


def sample(hint, depth=0):
    """Some value that fits a type hint, with numbers that JSON has no word for."""
    hint = spell_out(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    plain = {float: -math.inf, int: 3, bool: True, str: "text", complex: complex(1.0, math.inf), type(None): None}
    if hint in plain:
        return plain[hint]
    if hint in SAMPLES:
        return SAMPLES[hint]
    if hint is Record:
        return sample(Spectrum)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return list(hint)[-1]
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{f.name: sample(hints[f.name]) for f in fields(hint) if not is_left_out(f)}, **left_out(hint))
    if origin in (typing.Union, types.UnionType):
        return sample(args[0])
    if origin is typing.Literal:
        return args[-1]
    if origin is tuple:
        return (sample(args[0]), sample(args[0])) if args[-1] is Ellipsis else tuple(map(sample, args))
    if "ndarray" in str(hint):
        kind = str(args[-1]) if args else ""
        if "complex" in kind or "Any" in kind:
            return np.array([1 + 2j, complex(math.nan, -math.inf)])
        values = [True, False] if "bool" in kind else [3, 4] if "int" in kind else [math.nan, -math.inf]
        return np.array(values)
    if issubclass(origin, Mapping):
        return {"a": sample(args[1])}
    assert issubclass(origin, Sequence), hint
    return [sample(args[0])]


def key_of(field):
    return field.metadata.get(next(iter(records.key(""))), field.name)


def has_default(field):
    return field.default is not MISSING or field.default_factory is not MISSING


def is_left_out(field):
    return records.left_out().items() <= field.metadata.items()


def left_out(kind):
    return {f.name: None for f in fields(kind) if is_left_out(f)}


def same(a, b):
    """Equal to the last bit; nan is itself."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and repr(a.tolist()) == repr(b.tolist())
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if not is_left_out(f)
        )
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or repr(a) == repr(b))


def test_what_a_public_function_returns_is_a_record_or_named_here_as_no_result():
    others = {kind for kind in returned_types() if not issubclass(kind, Record | Rule | Method | Decision)}
    others = {kind.__name__ for kind in others if not kind.__name__.endswith("State")}
    assert others == NOT_RESULTS


def test_no_two_records_have_the_same_kind():
    # but for those whose class has the same name, which a reader tells apart by where they stand
    kinds = [records.encode(sample(kind))["kind"] for kind in all_records()]
    assert len(kinds) > 50
    assert len(set(kinds)) == len({kind.__name__ for kind in all_records()})


@pytest.mark.parametrize("kind", all_records(), ids=lambda kind: kind.__qualname__)
def test_a_record_goes_to_strict_json_and_back(kind):
    result = sample(kind)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert list(json.loads(text))[:2] == ["kind", "version"]
    again = kind.from_dict(json.loads(text))
    assert same(again, result)
    assert again.to_dict() == result.to_dict()


@pytest.mark.parametrize("kind", all_records(), ids=lambda kind: kind.__qualname__)
def test_every_entry_that_is_wrong_or_missing_is_named(kind):
    result = sample(kind)
    record = json.loads(json.dumps(result.to_dict()))
    derived = set(result.derived())
    assert not derived & {key_of(field) for field in fields(kind)}
    hints = {key_of(f): typing.get_type_hints(kind)[f.name] for f in fields(kind)}
    for name in record:
        if name in derived:
            assert same(kind.from_dict(record | {name: None}), result)
            continue
        for wrong in (object(), {"nothing": None}, "no such word", [[["no number"]]], True):
            if fits(wrong, str(hints.get(name, ""))):
                continue
            with pytest.raises(InvalidInput, match=rf"'{name}\b"):
                kind.from_dict(record | {name: wrong})
    for field in fields(kind):
        name = key_of(field)
        if name is not None and name in record:
            rest = {k: v for k, v in record.items() if k != name}
            if has_default(field):
                kind.from_dict(rest)
                continue
            with pytest.raises(InvalidInput, match=f"'{name}' of a"):
                kind.from_dict(rest)
    with pytest.raises(InvalidInput, match="'colour'"):
        kind.from_dict(record | {"colour": "green"})
    with pytest.raises(InvalidInput, match="mapping"):
        kind.from_dict([1, 2])


def fits(value, text):
    """Whether a value that is meant to be wrong is right by chance: any text is text."""
    return (isinstance(value, str) and "str" in text) or (value is True and "bool" in text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lower": "infinity"}, "'lower' must be a number"),
        ({"lower": "1.5"}, "'lower' must be a number"),
        ({"lower_is": "sure"}, "'lower_is' must be one of 'exact'"),
        ({"kind": "spectrum"}, "'kind' must be 'bounds'"),
        ({"version": 2}, "'version' must be a whole number from 1 to 1"),
        ({"version": True}, "'version'"),
        ({"lower": 3.0}, "'bounds': an interval needs lower <= upper"),
    ],
)
def test_messages_say_what_was_expected(change, said):
    record = Bounds(1.0, 2.0).to_dict()
    with pytest.raises(InvalidInput, match=said):
        Bounds.from_dict(record | change)


def test_an_entry_deep_inside_is_named_with_its_path():
    record = surefoot.limits(np.diag([1.0, 4.0])).to_dict()
    record["condition"]["upper"] = [1]
    with pytest.raises(InvalidInput, match=r"'condition\.upper' must be a number .*; got \[1\]"):
        surefoot.Limits.from_dict(record)


def test_a_record_of_a_subclass_comes_back_as_one():
    capped = surefoot.limits(np.diag([1.0, 4.0]), clip=1.0)
    assert type(capped) is ClippedLimits
    assert same(surefoot.Limits.from_dict(capped.to_dict()), capped)


def test_entries_with_a_default_may_be_missing_from_an_older_record():
    record = Bounds(1.0, 2.0).to_dict()
    del record["failure"], record["kind"], record["version"]
    assert Bounds.from_dict(record) == Bounds(1.0, 2.0)
    del record["upper"]
    with pytest.raises(InvalidInput, match="'upper' of a bounds is missing"):
        Bounds.from_dict(record)


def test_arrays_and_scalars_of_other_libraries_are_numbers():
    values = (np.float32(1.5), np.int64(3), np.bool_(True), np.array([1, 2]), torch.tensor([0.5, math.inf]))
    assert records.encode(values) == [1.5, 3, True, [1, 2], [0.5, "inf"]]
    assert records.encode(np.array([1 + 2j])) == {"real": [1.0], "imag": [2.0]}
    with pytest.raises(InvalidType, match="got a object"):
        records.encode(object())


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], ["a"], [True], {"real": [1.0], "imag": [0.0]}])
def test_an_array_must_be_one(value):
    @dataclass(frozen=True)
    class Curve(Record):
        y: np.ndarray[tuple[int, ...], np.dtype[np.float64]]

    with pytest.raises(InvalidInput, match="'y"):
        Curve.from_dict({"y": value})
    assert Curve.from_dict({"y": [1, "nan"]}).y.dtype == np.float64


def test_numbers_are_read_back_without_the_classes():
    record = {"a": ["inf", "nan", 1, "text"], "b": {"c": "-inf"}}
    again = records.with_floats(record)
    assert again["a"][0] == math.inf
    assert math.isnan(again["a"][1])
    assert again["a"][2:] == [1, "text"]
    assert again["b"] == {"c": -math.inf}


def test_states_of_wrapped_rules_are_read_by_their_own_shape():
    rule = rules.Warmup(rule=rules.Clipped(rule=rules.Armijo(first=1.0), cap=2.0), steps=3)
    state = rule.init()
    again = records.load(json.loads(json.dumps(records.dump(state), allow_nan=False)), rule.init())
    assert same(again, state)
    with pytest.raises(InvalidInput, match=r"'inner\.longest' must be a number"):
        records.load({"inner": records.dump(state)["inner"] | {"longest": "far"}}, rule.init())


# The words of these need numbers that go together; tests of their own print them.
PRINTED_ELSEWHERE = {"ClippedLimits", "Density"}


@pytest.mark.parametrize("kind", all_records(), ids=lambda kind: kind.__qualname__)
def test_every_result_shows_itself_in_a_notebook(kind):
    assert callable(kind._repr_html_)
    if kind.__name__ not in PRINTED_ELSEWHERE:
        assert sample(kind)._repr_html_().startswith("<pre>")


def test_a_result_in_a_notebook_is_the_text_that_print_shows():
    html = surefoot.limits(np.diag([1.0, 4.0]))._repr_html_()
    assert html.startswith("<pre>")
    assert "curvature limit" in html
    assert "<" not in html.removeprefix("<pre>").removesuffix("</pre>")


def test_a_result_equals_what_is_read_back_nan_and_arrays_included():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Seen(Record):
        value: float
        values: tuple[float, ...]
        table: np.ndarray

    one = Seen(value=float("nan"), values=(1.0, float("nan")), table=np.array([1.0, np.nan]))
    again = Seen(value=-float("nan"), values=(1.0, -float("nan")), table=np.array([1.0, np.nan]))
    assert one == again
    assert one != replace(again, value=1.0)
    assert one != replace(again, values=(1.0, 2.0))
    assert one != replace(again, values=(1.0,))
    assert one != replace(again, table=np.array([2.0, np.nan]))
    assert one != "seen"
