"""Finding a rate, and training without one, beside what people install: regret, failures, time a step.

Run: python -m benchmarks finders rate-free-adamw rate-free-sgd overhead. Eighteen tasks: the six of tasks.py, and
the twelve of more_tasks.py that played no part in any rule here. A peer has its defaults, and what its documentation
recommends beside them: a cosine, a warm-up, an average. Regret % = 100 (loss - L*)/(constant - L*) with L* of the
family's sweep (runs.py): 0 is the best rate in hindsight, 100 no better than a constant. A run has failed if it is not
finite, worse than a constant or above twice its first loss, or if no rate came out of a finder.
"""

import contextlib
import io
import itertools
import logging
import math
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bench import Table, in_turn, optional
from more_tasks import twelve
from pilot import NEAR
from runs import FAMILIES, UNIVERSAL, has_failed, optimizer_of, reference, regret, suggestion, train, train_piloted
from tasks import TASKS, Characters, Wide, build

from surefoot.training import Guard

# In hindsight the best common rate of AdamW with a warm-up and a cosine on the six.
UNIVERSAL_COSINE = 10**-1.5
# Updates with which schedule-free weights get running statistics of their own, as its documentation asks.
RECALIBRATION = 50
# Steps that are timed together: one is too short.
BLOCK = 10


@contextlib.contextmanager
def gradients_of(task):
    """A list of which each gradient of the task's loss, whoever asks for it, makes one entry."""
    found, loss = [], task.loss

    def count(*arguments):
        if torch.is_grad_enabled():
            found.append(1)
        return loss(*arguments)

    task.loss = count
    try:
        yield found
    finally:
        del task.loss


def outputs_loss(task):
    """The task's loss as a function of the model's output: (output, y) -> loss."""
    return lambda output, y: task.loss(lambda _: output, None, y)


def by_range_test(task, family, seed):
    found = suggestion(task, family, seed)
    return None if found.abstained else found.suggested


def by_short_range_test(task, family, seed):
    """With the budget that the other finders have."""
    found = suggestion(task, family, seed, 100)
    return None if found.abstained else found.suggested


def by_torch_lr_finder(task, family, seed):
    """As its README has it: from 1e-7 to 100 in 100 steps, the suggestion of `plot`."""
    import matplotlib as mpl
    import torch_lr_finder

    mpl.use("Agg")
    from matplotlib import pyplot

    class Batches(torch_lr_finder.TrainDataLoaderIter):
        def __init__(self):
            self.batches = task.batches(seed + 500)

        def __next__(self):
            return next(self.batches)

    torch.manual_seed(seed)
    model = task.model()
    finder = torch_lr_finder.LRFinder(model, optimizer_of(family, model, 1e-7), outputs_loss(task), device="cpu")
    finder.range_test(Batches(), end_lr=100, num_iter=100)
    axes = pyplot.figure().add_subplot()
    try:
        found = finder.plot(ax=axes)
    finally:
        pyplot.close("all")
    return float(found[1]) if isinstance(found, tuple) else None


def lightning_finder(task, family, seed):
    """What `Tuner.lr_find` returns with its defaults."""
    import lightning
    from lightning.pytorch.tuner import Tuner

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(seed)
            self.model, self.lr = task.model(), 1e-3

        def training_step(self, batch, _):
            return task.loss(self.model, *batch)

        def configure_optimizers(self):
            return optimizer_of(family, self, self.lr)

    batches = torch.utils.data.DataLoader(list(itertools.islice(task.batches(seed + 500), 100)), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        return Tuner(trainer).lr_find(Module(), train_dataloaders=batches)


def by_lightning(task, family, seed):
    return lightning_finder(task, family, seed).suggestion()


def by_older_lightning(task, family, seed):
    """What it suggested up to version 2.5.2: steepest by step of the ramp. Since then it is steepest by rate."""
    seen = lightning_finder(task, family, seed).results
    losses = np.array(seen["loss"][10:-1])
    return seen["lr"][10 + int(np.argmin(np.gradient(losses[np.isfinite(losses)])))]


# Name -> (function, module that it needs).
FINDERS = {
    "Surefoot range_test": (by_range_test, "surefoot"),
    "Surefoot range_test, 100 steps": (by_short_range_test, "surefoot"),
    "torch-lr-finder": (by_torch_lr_finder, "torch_lr_finder"),
    "Lightning lr_find": (by_lightning, "lightning"),
    "Lightning lr_find, up to 2.5.2": (by_older_lightning, "lightning"),
}


def quiet(function, *arguments):
    """Its result without what it prints; None if it raises, or if what comes out is no rate."""
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            found = function(*arguments)
        except Exception:  # a finder that raises has found no rate, whatever the reason
            return None
    return found if found is not None and math.isfinite(found) and found > 0 else None


def finders(quick):
    """How near each finder comes to the best rate of a sweep, and how repeatable it is."""
    tasks, seeds = [*build(TASKS), *twelve()], 3
    if quick:
        tasks, seeds = tasks[:1], 1
    rows = []
    for name, (find, module) in FINDERS.items():
        if optional(module) is None:
            continue
        near = runs = none = 0
        spreads, far, spent = [], [], []
        for task, (family, best) in itertools.product(tasks, ((f, f == "AdamW") for f in FAMILIES)):
            with gradients_of(task) as count:
                found = [quiet(find, task, family, seed) for seed in range(seeds)]
            spent.append(len(count) / seeds)
            rates = [rate for rate in found if rate is not None]
            offs = [max(rate / task.rates[best], task.rates[best] / rate) for rate in rates]
            near, runs, none = near + sum(off <= NEAR for off in offs), runs + seeds, none + seeds - len(rates)
            far += offs
            spreads += [max(rates) / min(rates)] if rates else []
        rows.append((name, f"{near} of {runs}", none, max(far, default=None), max(spreads, default=None),
                     statistics.median(spent)))  # fmt: skip
        print("  ", *rows[-1], flush=True)
    columns = ("finder", "near", "no rate", "worst factor off", "largest spread of seeds", "gradients")
    note = (
        f"Near: within a factor {NEAR:.3g} of the best swept rate, {len(tasks)} tasks x SGD and AdamW x {seeds} seeds. "
        "The rule of range_test was made on thirteen of the tasks."
    )
    return [Table("near-the-best", columns, rows, note)]


@dataclass(frozen=True)
class Peer:
    """An optimizer of another library that chooses its own rate.

    `make(module, parameters, steps)` builds it; `schedule` says that its documentation wants a cosine after it,
    `with_loss` that its step takes the loss, `average(module, model)` makes the average that is evaluated.
    """

    module: str
    make: Callable[..., torch.optim.Optimizer]
    schedule: bool = False
    with_loss: bool = False
    average: Callable[..., Any] | None = None

    def optimizer(self, model, steps):
        """For a run of so many steps."""
        return self.make(optional(self.module), model.parameters(), steps)


PEERS = {
    "AdamW": {
        "Prodigy, cosine": Peer("prodigyopt", lambda m, p, _: m.Prodigy(p), schedule=True),
        "MoMo-Adam": Peer("momo", lambda m, p, _: m.MomoAdam(p), with_loss=True),
        # what its documentation recommends where no lower bound of the loss is known; the default takes 0 for it
        "MoMo-Adam, bound estimated": Peer("momo", lambda m, p, _: m.MomoAdam(p, use_fstar=True), with_loss=True),
        "schedule-free AdamW": Peer(
            "schedulefree", lambda m, p, steps: m.AdamWScheduleFree(p, warmup_steps=steps // 10)
        ),
    },
    "SGD": {
        "DoG, averaged": Peer(
            "dog", lambda m, p, _: m.DoG(p), average=lambda m, model: m.PolynomialDecayAverager(model)
        ),
        "MoMo": Peer("momo", lambda m, p, _: m.Momo(p), with_loss=True),
        "MoMo, bound estimated": Peer("momo", lambda m, p, _: m.Momo(p, use_fstar=True), with_loss=True),
        "schedule-free SGD": Peer("schedulefree", lambda m, p, steps: m.SGDScheduleFree(p, warmup_steps=steps // 10)),
    },
}


def train_peer(task, seed, peer):
    """A run of a peer: the last loss and the first."""
    torch.manual_seed(seed)
    model = task.model()
    optimizer = peer.optimizer(model, task.steps)
    averager = peer.average(optional(peer.module), model) if peer.average else None
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, task.steps) if peer.schedule else None
    if hasattr(optimizer, "eval"):
        optimizer.train()
    batches, first = task.batches(seed), None
    for _ in range(task.steps):
        x, y = next(batches)
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        first = loss.item() if first is None else first
        if not math.isfinite(loss.item()):
            return math.nan, first
        optimizer.step(loss=loss.detach()) if peer.with_loss else optimizer.step()
        if averager:
            averager.step()
        if schedule:
            schedule.step()
    if hasattr(optimizer, "eval"):
        optimizer.eval()
        with torch.no_grad():
            for x, y in itertools.islice(batches, RECALIBRATION):
                task.loss(model, x, y)
    return task.final(averager.averaged_model if averager else model), first


def pilot(task, family, seed):
    run = train_piloted(task, family, seed)
    return run.loss, run.driver.history[0].loss


def at_rate(rate, schedule):
    def run(task, family, seed):
        return train(task, family, seed, rate, schedule).loss, math.inf

    return run


def cosine_after(finder):
    """A cosine at the rate that a finder gives."""

    def run(task, family, seed):
        rate = quiet(finder, task, family, seed)
        return (math.nan, math.inf) if rate is None else (train(task, family, seed, rate, "cosine").loss, math.inf)

    return run


def run_of(name, peer):
    """A run of a peer; one that raises has failed."""

    def run(task, _, seed):
        try:
            return train_peer(task, seed, peer)
        except (AssertionError, RuntimeError, TypeError) as error:  # a gradient that it does not take
            print(f"  {name}, {task.name}: {type(error).__name__}: {error}", flush=True)
            return math.nan, math.inf

    return run


def contenders(family):
    """Name -> (run, module that it needs)."""
    common = {
        "AdamW": {
            "constant 0.01": at_rate(UNIVERSAL["AdamW"], "constant"),
            "cosine 0.032": at_rate(UNIVERSAL_COSINE, "cosine"),
        },
        "SGD": {"cosine 0.32": at_rate(UNIVERSAL["SGD"], "cosine")},
    }[family]
    return {
        "Surefoot Pilot": (pilot, "surefoot"),
        **{f"{name}, cosine": (cosine_after(find), module) for name, (find, module) in FINDERS.items()},
        **{name: (run_of(name, peer), peer.module) for name, peer in PEERS[family].items()},
        **{name: (run, "surefoot") for name, run in common.items()},
    }


def rate_free_adamw(quick):
    """Regret and failures of whole runs with Adam's directions."""
    return regrets("AdamW", quick)


def rate_free_sgd(quick):
    """The same with the gradient's, and momentum where a method has it."""
    return regrets("SGD", quick)


def regrets(family, quick):
    """A table over the tasks and one of each task. Ctrl-C ends it with the tasks that are done."""
    tasks, seeds = [*build(TASKS), *twelve()], 2
    if quick:
        tasks, seeds = tasks[:2], 1
    methods = {name: run for name, (run, module) in contenders(family).items() if optional(module) is not None}
    means, failures, done = {name: [] for name in methods}, dict.fromkeys(methods, 0), []
    costs = {name: [] for name in methods}
    try:
        for task in tasks:
            results = {name: outcome(run, task, family, seeds) for name, run in methods.items()}
            for name, (mean, bad, cost) in results.items():
                means[name].append(mean)
                costs[name].append(cost)
                failures[name] += bad
            done.append(task.name)
            print(
                f"  {task.name}: " + ", ".join(f"{name} {mean:.3g}" for name, (mean, *_) in results.items()), flush=True
            )
    except KeyboardInterrupt:
        print(f"  stopped after {len(done)} of {len(tasks)} tasks", flush=True)
    summary = [
        (name, statistics.median(v), *(sum(r <= most for r in v) for most in (1, 3, 10)), max(v),
         f"{failures[name]} of {len(done) * seeds}", statistics.fmean(costs[name]))
        for name, v in means.items()
    ]  # fmt: skip
    whole = Table(
        family,
        (
            "with",
            "median regret %",
            "at most 1%",
            "at most 3%",
            "at most 10%",
            "worst %",
            "runs failed",
            "gradients a step",
        ),
        summary,
        f"{len(done)} tasks, the mean of {seeds} seeds each, no run counted above 100; counts are of tasks. The "
        "constant and the common cosine are the best of the first six tasks in hindsight.",
    )
    rows = [(name, *(means[method][i] for method in methods)) for i, name in enumerate(done)]
    return [whole, Table(f"{family}-by-task", ("mean regret %", *methods), rows)]


def outcome(run, task, family, seeds):
    """The mean regret over seeds, how many failed, and the gradients a step of the run, a finder's included."""
    best, constant = reference(task, family)
    found, spent, bad = [], [], 0
    for seed in range(seeds):
        with gradients_of(task) as count:
            loss, first = run(task, family, seed)
        spent.append(len(count) / task.steps)
        bad += has_failed(loss, first, constant)
        found.append(regret(loss, best, constant))
    return statistics.fmean(found), bad, statistics.fmean(spent)


def overhead(quick):
    """Time of a step with each, over the plain optimizer's, in blocks of ten steps in turn."""
    kinds, rounds = ((Characters,), 3) if quick else ((Characters, Wide), 40)
    tables = []
    for task in build(kinds):
        sides = {"plain AdamW": stepper(task), "Surefoot Guard": guarded_stepper(task)}
        sides |= {name: stepper(task, peer) for name, peer in PEERS["AdamW"].items() if optional(peer.module)}
        # one step is too short to be timed
        spent = in_turn(
            {name: lambda step=step: [step() for _ in range(BLOCK)] for name, step in sides.items()}, rounds
        )
        plain_time = spent["plain AdamW"]
        rows = []
        for name, times in spent.items():
            over = [100 * (a / b - 1) for a, b in zip(times, plain_time, strict=True)]
            low, middle, high = statistics.quantiles(over, n=4)
            rows.append((name, 1e3 / BLOCK * statistics.median(times), middle, low, high))
        columns = ("a step with", "ms", "over plain, median %", "a quarter below", "a quarter above")
        tables.append(Table(task.name.replace(" ", "-"), columns, rows, f"{rounds} blocks of {BLOCK} steps in turn."))
    return tables


def stepper(task, peer=None):
    """A call that makes one step of a run of its own, of AdamW or of a peer."""
    torch.manual_seed(0)
    model = task.model()
    optimizer = peer.optimizer(model, task.steps) if peer else optimizer_of("AdamW", model, 1e-3)
    if hasattr(optimizer, "eval"):
        optimizer.train()
    batches = task.batches(0)

    def step():
        x, y = next(batches)
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        optimizer.step(loss=loss.detach()) if peer and peer.with_loss else optimizer.step()

    return step


def guarded_stepper(task):
    """The same with AdamW under a guard."""
    torch.manual_seed(0)
    model = task.model()
    guard, batches = Guard(model, optimizer_of("AdamW", model, 1e-3)), task.batches(0)

    def step():
        x, y = next(batches)
        guard.step(lambda: task.loss(model, x, y))

    return step
