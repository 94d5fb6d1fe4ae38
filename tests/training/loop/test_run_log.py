"""A run's log, read back by the audit; a task trained by `surefoot run`, its report and its figure."""

import json
import math

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.logs import read_events, read_log
from surefoot.report.figures import pilot_figure
from surefoot.training import Guard, Moment, Pilot, RunLog, Task, supervised, train
from surefoot.training.loop.run_log import as_record


def piloted(rule="cosine:0.05", steps=60, broken=()):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), rule=rule, total_steps=steps)
    x = torch.randn(64, 4)
    y = x.sum(1, keepdim=True)

    def step(k):
        factor = math.nan if k in broken else 1.0
        return pilot.step(lambda: nn.functional.mse_loss(model(x), y) * factor)

    return pilot, step


def test_what_is_written_is_what_happened_in_both_formats(tmp_path):
    pilot, step = piloted(broken=(20,))
    with RunLog(pilot, jsonl=tmp_path / "log.jsonl", events=tmp_path / "events") as log:
        for k in range(60):
            step(k)
            log.write()
            if k == 30:  # what is written is there at once
                assert len(read_log(tmp_path / "log.jsonl").rows) == 31
    rows = read_log(tmp_path / "log.jsonl").rows
    assert rows == tuple(as_record(moment) for moment in pilot.history)
    assert rows[20]["rate"] is None
    assert "left out" in rows[20]["event"]
    (file,) = (tmp_path / "events").iterdir()
    scalars, whole = read_events(file)
    assert whole
    rates = [(step, value) for tag, step, value in scalars if tag == "pilot/rate"]
    assert [step for step, _ in rates] == [k for k in range(60) if k != 20]
    for k, value in rates:
        assert value == pytest.approx(pilot.history[k].rate, rel=1e-7)


@pytest.mark.parametrize("where", ["log.jsonl", "events"])
def test_the_audit_of_a_log_says_as_planned(tmp_path, where):
    pilot, step = piloted()
    with RunLog(pilot, **{("jsonl" if where == "log.jsonl" else "events"): tmp_path / where}):
        for k in range(60):
            step(k)
    found = sf.audit(tmp_path / where, "cosine:0.05,total=60")
    assert (found.verdict, found.rows) == ("as planned", 60)
    assert sf.audit(tmp_path / where, "cosine:0.05,total=30").verdict == "departs"


def test_the_history_itself_is_a_log_and_batches_left_out_have_no_rate():
    pilot, step = piloted(rule="constant:0.05", broken=(7, 30))
    for k in range(60):
        step(k)
    found = sf.audit(pilot.history, "constant:0.05")
    assert (found.verdict, found.rows) == ("as planned", 58)


def test_a_log_needs_a_place(tmp_path):
    pilot, _ = piloted()
    with pytest.raises(InvalidInput, match="somewhere to write"):
        RunLog(pilot)
    with pytest.raises(InvalidInput, match="cannot write"):
        RunLog(pilot, jsonl=tmp_path / "no" / "log.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot write events"):
        RunLog(pilot, events=tmp_path / "file")


def line(name="line"):
    x = torch.linspace(-1, 1, 64)[:, None]
    return Task(lambda: nn.Linear(1, 1), supervised(nn.functional.mse_loss), (x, 2 * x), name=name, batch_size=16)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "momentum", "nesterov"])
def test_a_task_is_trained_and_left_as_it_was(optimizer):
    task = line()
    before, state = task.initial_loss(), torch.get_rng_state()
    result = train(task, "constant:0.05", optimizer=optimizer, steps=150)
    assert result.ending == "good"
    assert result.final < 0.1 * before
    assert len(result.moments) == 150
    assert torch.equal(torch.get_rng_state(), state)
    again = train(task, "constant:0.05", optimizer=optimizer, steps=150)
    assert repr(again.moments) == repr(result.moments)


def test_a_trained_task_says_what_happened():
    result = train(line(), "constant:1e7", optimizer="sgd", steps=12)
    assert "rolled back" in " ".join(result.findings)
    record = result.to_dict()
    json.dumps(record, allow_nan=False)
    assert record["kind"] == "training run"
    assert "SGD" in str(result)


def test_verdicts_are_on_all_the_data():
    tiny = train(line(), "constant:1e-9", optimizer="sgd", steps=5)
    assert tiny.ending == "no progress"


def test_bad_settings_are_refused(tmp_path):
    for settings, says in [
        ({"steps": 0}, "steps must be"),
        ({"optimizer": "adam"}, "choose one of adamw, sgd, momentum, nesterov"),
        ({"rule": "cosin:1"}, "did you mean cosine"),
        ({"log": tmp_path / "log.txt"}, "a .jsonl file, or a folder"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            train(line(), **settings)


def test_the_figure_has_rate_limit_events_and_loss():
    moments = [
        Moment(step=k, loss=1 / (k + 1), rate=0.1, limit=0.5 if k % 3 else math.nan, event="chose 0.1" * (k == 40))
        for k in range(100)
    ]
    drawing = pilot_figure(moments)
    for word in ("rate", "limit", "event", "loss", "step"):
        assert word in drawing
    assert pilot_figure([as_record(moment) for moment in moments]) == drawing
    assert "event" not in pilot_figure(moments[:10])


@pytest.mark.parametrize(
    "moments",
    [
        [],
        [Moment(step=0, loss=math.nan, rate=0.0, event="batch left out")],
        [Moment(step=0, loss=1.0, rate=0.1)],
        [Moment(step=k, loss=10.0**k, rate=10.0 ** (k - 200)) for k in range(0, 300, 10)],
        [Moment(step=0, loss=-1.0, rate=0.1), Moment(step=1, loss=-2.0, rate=0.1, limit=math.inf)],
    ],
)
def test_the_figure_of_odd_runs_is_drawn(moments):
    assert pilot_figure(moments).startswith("<svg")


# the command


def test_the_digits_are_run_logged_reported_and_audited(command, tmp_path):
    code, out, err = command(
        *("run", "digits", "--rule", "auto", "--steps", "150", "--log", "x.jsonl", "--report", "x.html")
    )
    # a slow machine is told on stderr how long it may take
    assert code == 0, err
    assert "good: loss on all data 2.303" in out
    page = (tmp_path / "x.html").read_text()
    assert "How did the training go?" in page
    assert "Rate and loss" in page
    rows = read_log("x.jsonl").rows
    assert len(rows) >= 140
    assert {"step", "loss", "rate", "limit", "noise", "event"} == set(rows[0])


def test_a_schedule_of_a_network_passes_its_audit(command):
    code, *_ = command(
        *(
            "run",
            "digits",
            "--rule",
            "cosine",
            "--step",
            "0.05",
            "--optimizer",
            "momentum",
            "--steps",
            "60",
            "--log",
            "tb",
        )
    )
    assert code == 0
    code, out, _ = command("audit", "tb", "--plan", "cosine:0.05,total=60")
    assert code == 0, out


def test_json_is_strict_and_alone(command):
    code, out, err = command("run", "digits", "--rule", "constant:0.01", "--steps", "20", "--json", "--log", "x.jsonl")
    assert code == 0
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (record["kind"], len(record["moments"])) == ("training run", 20)
    assert err.startswith("log: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["digits", "--rule", "nothing"], "unknown rule"),
        (["digits", "--optimizer", "x"], "choose one of adamw"),
        (["digits", "--log", "x.txt"], "a .jsonl file, or a folder"),
        (["digits", "--loss", "logistic"], "--loss"),
        (["digits", "--tol", "0.1"], "--tol"),
        (["quadratic", "--optimizer", "sgd"], "--optimizer is for a network, and quadratic is a problem"),
        (["quadratic", "--log", "x.jsonl"], "--log is for a network"),
    ],
)
def test_wrong_usage_is_said(command, arguments, says):
    code, out, err = command("run", *arguments)
    assert (code, out) == (2, "")
    assert says in err


class Scalars:
    """As TensorBoard's SummaryWriter."""

    def __init__(self):
        self.seen = []

    def add_scalar(self, tag, value, step):
        self.seen.append((step, tag, value))


class Metrics:
    """As MLflow and Lightning's loggers."""

    def __init__(self):
        self.seen = []

    def log_metrics(self, numbers, step):
        self.seen += [(step, tag, value) for tag, value in numbers.items()]


class Run:
    """As a run of wandb."""

    def __init__(self):
        self.seen = []

    def log(self, numbers, step):
        self.seen += [(step, tag, value) for tag, value in numbers.items()]


@pytest.mark.parametrize("kind", [Scalars, Metrics, Run])
def test_a_logger_of_ones_own_gets_the_same_numbers(kind):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), "constant:0.05", total_steps=10)
    x = torch.randn(16, 2)
    writer = kind()
    with RunLog(pilot, writer=writer) as log:
        for _ in range(10):
            pilot.step(lambda: model(x).square().mean())
            log.write()
    losses = [value for _, tag, value in writer.seen if tag == "pilot/loss"]
    assert losses == [moment.loss for moment in pilot.history]
    assert {step for step, _, _ in writer.seen} == set(range(10))


def test_a_logger_that_takes_no_numbers_is_refused():
    model = torch.nn.Linear(2, 1)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=10)
    with pytest.raises(InvalidType, match="add_scalar, log_metrics or log"):
        RunLog(pilot, writer=[])


def test_a_guards_log_has_what_it_did(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.1))
    x = torch.randn(64, 4)
    writer = Metrics()
    with RunLog(guard, jsonl=tmp_path / "log.jsonl", events=tmp_path / "events", writer=writer) as log:
        for k in range(60):
            guard.step(lambda k=k: nn.functional.mse_loss(model(x), x[:, :1]) * (math.nan if k in (20, 40) else 1.0))
            log.write()
    rows = read_log(tmp_path / "log.jsonl").rows
    assert [(row["step"], row["action"], row["loss"], row["factor"]) for row in rows] == [
        (20, "skip", None, 1.0), (40, "skip", None, 1.0),
    ]  # fmt: skip
    assert "batch left out" in rows[0]["event"]
    sent = [(step, tag) for step, tag, _ in writer.seen]
    assert sent == [(20, "guard/factor"), (20, "guard/undone"), (40, "guard/factor"), (40, "guard/undone")]
    (file,) = (tmp_path / "events").iterdir()
    assert [(step, tag) for tag, step, _ in read_events(file)[0]] == sent


def test_a_guards_log_waits_for_nothing_until_it_is_closed(tmp_path, monkeypatch):
    model, x = nn.Linear(4, 1), torch.randn(64, 4)
    guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.1))
    log = RunLog(guard, jsonl=tmp_path / "log.jsonl")
    for _ in range(45):
        guard.step(lambda: nn.functional.mse_loss(model(x), x[:, :1]))
    waits = []
    monkeypatch.setattr(guard._updates, "settle", lambda: waits.append(True))
    log.write()
    assert not waits
    log.close()
    assert waits == [True]
