"""Many runs at once, on any of joblib's backends: the answers are those of one run after the other."""

import pickle
import sys

import numpy as np
import pytest

from surefoot.errors import Interrupted, InvalidInput, MissingExtra
from surefoot.problems import Function, LeastSquares, Quadratic
from surefoot.trials import race, sweep
from surefoot.trials._workers import Here, each

joblib = pytest.importorskip("joblib")

rng = np.random.default_rng(0)
# one of them of functions without a name, which no plain pickle takes
PROBLEMS = [
    LeastSquares(rng.standard_normal((40, 5)), rng.standard_normal(40)),
    Function(lambda x: float(x[0] ** 2 / 2 - x[0] ** 3 / 3), lambda x: x - x**2, start=[0.3], name="cubic"),
]
RATES = [0.1, 1.0, 2.2, 3.1, 8.0]
RULES = ["auto", "bb", "constant:0.1"]


def same(made, alone):
    """All but the seconds, NaN where NaN was."""
    if hasattr(made, "entries"):
        assert made.least == alone.least
        for one, other in zip(made.entries, alone.entries, strict=True):
            assert (one.name, one.ending, one.stopped, one.evidence) == (
                *(other.name, other.ending, other.stopped, other.evidence),
            )
            np.testing.assert_array_equal(one.gap, other.gap)
        return
    assert (made.initial, made.limit) == (alone.initial, alone.limit)
    assert repr(made.outcomes) == repr(alone.outcomes)


def all_at_once(workers=None):
    """A sweep and a race, as they come out with whatever backend is set."""
    for problem in PROBLEMS:
        same(sweep(problem, RATES, steps=150, workers=workers), sweep(problem, RATES, steps=150, workers=1))
    same(race(PROBLEMS[0], RULES, steps=60, workers=workers), race(PROBLEMS[0], RULES, steps=60, workers=1))


class Told:
    """A progress callback that presses Ctrl-C when so many runs are over."""

    def __init__(self, press_at=None):
        self.calls, self.press_at = [], press_at

    def __call__(self, done, total, label, left):
        self.calls.append((done, total))
        if done == self.press_at:
            raise KeyboardInterrupt


def tell_and_interrupt():
    """Runs are told in their order, and those before an interrupt are kept, with whatever backend is set."""
    told = Told()
    sweep(PROBLEMS[0], RATES, steps=150, progress=told)
    assert told.calls == [(i, len(RATES)) for i in range(len(RATES))]
    with pytest.raises(Interrupted) as stopped:
        sweep(PROBLEMS[0], RATES, steps=150, progress=Told(press_at=3))
    alone = sweep(PROBLEMS[0], RATES, steps=150, workers=1)
    assert repr(stopped.value.partial.outcomes) == repr(alone.outcomes[:3])


def test_processes_of_this_machine():
    all_at_once(workers=2)
    with joblib.parallel_config(n_jobs=2):
        all_at_once()


def test_a_dask_cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        all_at_once()
        tell_and_interrupt()


@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster():
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with joblib.parallel_config("ray"):
            all_at_once()
            tell_and_interrupt()
    finally:
        ray.shutdown()


@pytest.mark.parametrize("backend", ["loky", "threading", "lists only"])
@pytest.mark.filterwarnings("ignore:.*return_as:UserWarning")
def test_progress_and_an_interrupt(backend, monkeypatch):
    if backend == "lists only":  # as Ray's hands results back
        backend = "threading"
        monkeypatch.setattr("joblib._parallel_backends.ThreadingBackend.supports_return_generator", False)
    with joblib.parallel_config(backend, n_jobs=2):
        tell_and_interrupt()


def test_a_race_tells_of_runs_and_keeps_those_that_are_over():
    told = Told()
    race(PROBLEMS[0], RULES, steps=60, baselines=False, workers=2, progress=told)
    assert told.calls == [(61, 183), (122, 183), (183, 183)]
    with pytest.raises(Interrupted) as stopped:
        race(PROBLEMS[0], RULES, steps=60, baselines=False, workers=2, progress=Told(press_at=122))
    assert [entry.name for entry in stopped.value.partial.entries] == RULES[:2]


def test_here_is_left_behind():
    told = Told()
    pickle.loads(pickle.dumps(Here(told)))(1, 2, "", None)
    assert told.calls == []
    Here(told)(1, 2, "", None)
    assert told.calls == [(1, 2)]


def refuse(item):
    raise InvalidInput(f"{item} is refused; try another")


def test_an_error_in_a_worker_is_the_same_error():
    with pytest.raises(InvalidInput, match="is refused; try another"):
        list(each(refuse, [1, 2, 3], 2))


def test_what_workers_may_be(monkeypatch):
    with pytest.raises(InvalidInput, match="or -1 for one a core; got 0"):
        sweep(Quadratic([[1.0]]), [0.1], workers=0)
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[workers\]'"):
        sweep(Quadratic([[1.0]]), [0.1], workers=2)
    monkeypatch.delitem(sys.modules, "joblib")
    monkeypatch.setattr("importlib.import_module", None)  # not even asked for
    assert list(each(abs, [-1, 2])) == [1, 2]
    assert list(each(abs, [-1, 2], 1)) == [1, 2]
