"""Whatever a public function is given, it gives an answer or an error of Surefoot's: no other exception, no warning."""

import inspect
import os
import re
from collections.abc import Sequence
from typing import Annotated, Protocol
from zlib import crc32

import numpy as np
import pytest
from doors import BAD, CALLS, RESULTS, public

import surefoot as sf
from surefoot.checks import Count, Positive, Range, checked, random_generator
from surefoot.errors import InvalidInput, InvalidType, NotFinite, SurefootError
from surefoot.problems import AbsoluteLoss, Hinge, LeastSquares, Logistic, Quadratic, ResidualNorm, Softmax

SOAK = int(os.environ.get("SUREFOOT_SOAK", "0"))
# A run of the tests puts one in so many of the values in each place, always the same; SUREFOOT_SOAK=1 puts all, in
# about two minutes.
PART = 1 if SOAK else 12
DOORS = public()
ROOMS = sorted({name.rpartition(".")[0] for name in DOORS})


def arguments(function):
    """The parameters of a call, but those that catch all others."""
    found = inspect.signature(function).parameters.values()
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def test_the_walk_finds_the_house():
    assert len(DOORS) > 200
    assert {"stability.limits", "problems.LeastSquares", "logs.read_log", "training.Guard"} <= set(DOORS)
    needy = {name for name, door in DOORS.items() if any(p.default is p.empty for p in arguments(door))}
    assert needy - set(CALLS) == RESULTS


@pytest.mark.parametrize("room", ROOMS)
def test_every_door_opens(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, door in DOORS.items():
        if name.rpartition(".")[0] == room and name in CALLS:
            pytest.importorskip("sklearn") if "sklearn" in name else None
            made = door(**CALLS[name]())
            getattr(made, "close", lambda: None)()


@pytest.mark.parametrize("room", ROOMS)
def test_every_argument_of_every_door_with_any_value(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a writer that takes "x" for a name writes here
    foreign = {}
    for name, door in DOORS.items():
        if name.rpartition(".")[0] != room or name in RESULTS:
            continue
        for parameter in arguments(door):
            for label, value in BAD.items():
                if crc32(f"{name} {parameter.name} {label}".encode()) % PART:
                    continue
                try:
                    made = door(**{**CALLS.get(name, dict)(), parameter.name: value})
                    str(made)
                except SurefootError:
                    continue
                except Exception as error:  # what must not happen
                    foreign[f"{name}({parameter.name}={label})"] = f"{type(error).__name__}: {error}"
                else:
                    getattr(made, "close", lambda: None)()
    assert foreign == {}


LOSSES = {
    LeastSquares: [0.5, -1.0, 2.0, 0.1],
    AbsoluteLoss: [0.5, -1.0, 2.0, 0.1],
    ResidualNorm: [0.5, -1.0, 2.0, 0.1],
    Logistic: [1, -1, 1, -1],
    Hinge: [1, -1, 1, -1],
    Softmax: [0, 1, 2, 0],
}
X = np.random.default_rng(0).standard_normal((4, 2))


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-160, 1e-100, 1e-20, 1e100, 1e149, 1e160, 1e300])
@pytest.mark.parametrize("loss", LOSSES)
def test_data_of_any_scale_run_or_are_refused(loss, scale):
    problem = loss(X * scale, LOSSES[loss])
    if scale > 1e150:  # the gradient's norm is beyond the floats
        with pytest.raises(NotFinite):
            sf.descend(problem, rule=sf.rules.Auto(), steps=20)
        return
    run = sf.descend(problem, rule=sf.rules.Auto(), steps=20)
    assert run.loss <= problem.value(problem.start())
    assert str(run)
    if loss not in (LeastSquares, Logistic, Softmax):
        return
    if scale < 1e-149:
        with pytest.raises(InvalidInput, match="rescale"):
            sf.limits(problem)
        return
    lim = sf.limits(problem)
    assert not np.isnan([lim.stable, lim.safe, lim.optimal, lim.rate]).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mask_is_never_lost(loss):
    with pytest.raises(InvalidType, match="mask"):
        loss(np.ma.masked_array(X, X > 1), LOSSES[loss])
    with pytest.raises(InvalidType, match="mask"):
        loss(X, np.ma.masked_array(LOSSES[loss], [1, 0, 0, 0]))
    for door in (sf.spectrum, sf.limits, sf.operators.as_operator, sf.operators.gram, Quadratic):
        with pytest.raises(InvalidType, match="mask"):
            door(np.ma.masked_array(np.eye(2), np.eye(2)))


@pytest.mark.parametrize("method", [None, sf.methods.HeavyBall(0.9), sf.methods.RK4(), sf.methods.Nesterov(0.9)])
@pytest.mark.parametrize("largest", [5e-324, 1e-310, 1e-299, 1e-160, 1e160, 1e300])
def test_limits_of_curvatures_at_the_ends_of_the_floats(method, largest):
    bounds = sf.Bounds.exactly(largest), sf.Bounds.exactly(largest / 2)
    found = sf.Spectrum(
        kind="curvature", largest=bounds[0], smallest=bounds[1], size=2, provenance="exact", scope="global"
    )
    try:
        lim = sf.limits(found, method)
    except SurefootError:
        assert largest < 1e-300
        return
    assert lim.stable * largest == pytest.approx(sf.limits(np.eye(2), method).stable)
    assert 0 < lim.optimal < np.inf


@checked
def sample(a: float, b: int = 1, c: "str | None" = None, *, d: "list[float] | float" = 0.0, **rest: str):
    """A function with hints of each kind."""
    return a, b, c, d, rest


def test_the_check_itself():
    assert sample(np.float32(1), np.int8(2), None, d=np.array([1.0]))[1] == 2
    assert sample(np.array(1.5), rest_of=3)[0] == 1.5  # what is caught by ** is the function's own business
    for arguments, says in (
        (("1",), r"a must be a number; got '1' \(str\)"),
        ((1.0, 1.5), r"b must be a whole number; got 1.5"),
        ((1.0, 1, 3), "c must be a text or None; got 3"),
    ):
        with pytest.raises(InvalidType, match=says):
            sample(*arguments)
    with pytest.raises(InvalidType, match="d must be"):
        sample(1.0, d=[1.0, "x"])
    with pytest.raises(TypeError, match="missing"):
        sample()
    assert inspect.signature(sample).parameters["a"].annotation is float


class Answering(Protocol):
    """What has an answer and can be called."""

    answer: int

    def __call__(self) -> int:
        """The answer."""
        ...


@checked
def shaped(a: "tuple[float, float]" = (0.0, 1.0), b: "Sequence[int]" = (), c: Answering | None = None, n: int = 1):
    """A function with hints of several values, and of what an object has."""
    return a, b, c, n


def test_the_check_of_several_values():
    assert shaped(np.array([1.0, 2.0]), [1, 2])[1] == [1, 2]
    for arguments, says in (
        ({"a": (1.0,)}, r"a must be \(a number, a number\); got \(1.0,\)"),
        ({"a": (1.0, "x")}, r"a must be \(a number, a number\)"),
        ({"b": [1, 2, 0.5]}, r"b must be several whole numbers; got .*, of which \[2\] is 0.5"),
        ({"c": len}, "c must be an Answering, with __call__, answer or None"),
        ({"n": True}, "n must be a whole number; got True"),
    ):
        with pytest.raises(InvalidType, match=says):
            shaped(**arguments)

    class Deep:
        answer = 42

        def __call__(self):
            return self.answer

    assert shaped(c=Deep())[2].answer == 42


def test_a_seed():
    with pytest.raises(InvalidInput, match="nonnegative seed; got -1"):
        random_generator(-1)
    own = np.random.default_rng(1)
    assert random_generator(own) is own
    assert random_generator(np.int64(3)).random() == np.random.default_rng(3).random()


def test_a_range_is_part_of_a_hint():
    @checked
    def f(
        step: Positive, part: Annotated[float, Range("[0, 1)")] = 0.0, count: Count = 1, first: Positive | None = None
    ):
        return step, part, count, first

    assert f(np.float32(0.5), 0, np.int64(3), None) == (0.5, 0.0, 3, None)
    assert [type(x) for x in f(2, 0, np.int64(3), np.array(1))] == [float, float, int, float]
    wrong = {
        "step must be positive and finite; got 0": {"step": 0},
        "step must be positive and finite; got nan": {"step": float("nan")},
        "part must be in [0, 1); got 1": {"step": 1, "part": 1},
        "count must be a whole number >= 1; got 0": {"step": 1, "count": 0},
        "first must be positive and finite; got inf": {"step": 1, "first": float("inf")},
    }
    for message, arguments_ in wrong.items():
        with pytest.raises(InvalidInput, match=re.escape(message)):
            f(**arguments_)
    with pytest.raises(InvalidType, match="step must be a number; got an integer of 1329 bits"):
        f(10**400)
    with pytest.raises(InvalidInput, match="from 1 to 12; got 13"):
        Range("[1, 12]").clean(13, "k", whole=True)
    assert [Range(r).clean(1, "x", whole=False) for r in ("[1, 2]", "(0, 1]")] == [1, 1]
