"""Why a run failed: forty logs with planted faults, in the formats of loggers, and what may be said of each."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from audits import planted
from audits.planted import PLANTED
from hypothesis import given, settings
from hypothesis import strategies as st
from logs.writers import WRITERS, plain_csv

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType

# What a writer holds beside step and loss.
RATES = set(WRITERS) - {"nanogpt"}
NORMS = RATES - {"detectron2", "mae"}
SCALES = {"plain_csv", "json_lines", "megatron", "fairseq", "tensorboard", "gzipped", "frame"}
CASES = [
    *[("good", name) for name in ("plain_csv", "trainer_state", "nanogpt", "tensorboard")],
    *[("rate above the limit", name) for name in ("german_csv", "fairseq")],
    *[("slow divergence", name) for name in ("nanogpt", "megatron", "wandb_export")],
    *[("warm-up climbs", name) for name in ("detectron2", "console")],
    *[("rate jumped", name) for name in ("tsv", "mlflow")],
    *[("bad batch", name) for name in ("lightning", "json_lines")],
    *[("bad numbers", name) for name in ("console", "json_lines", "megatron")],
    ("bad rows of numbers", "gzipped"),
    *[("gradient not finite", name) for name in ("trainer_state", "frame")],
    *[("fp16 overflow", name) for name in ("megatron", "fairseq")],
    *[("oscillation", name) for name in ("nanogpt", "plain_csv")],
    ("order of the data", "plain_csv"),
    *[("best constant", name) for name in ("mlflow", "wandb_export")],
    *[("rate is 0", name) for name in ("mae", "lightning")],
    *[("too small", name) for name in ("plain_csv", "detectron2")],
    ("much too small", "tensorboard"),
    ("no gradient", "frame"),
    ("resume lost state", "tensorboard"),
    *[("overfitting", name) for name in ("trainer_state", "lightning")],
    ("annealed early", "mae"),
    ("bad rows", "json_lines"),
    ("recurring spikes", "fairseq"),
    ("no minimum", "german_csv"),
    ("rises at the start", "tsv"),
    ("collapse", "console"),
    ("stepped too often", "wandb_export"),
    ("schedule and bad numbers", "plain_csv"),
    ("schedule and divergence", "mlflow"),
    ("overfitting and annealed early", "german_csv"),
    ("bad batch and overfitting", "trainer_state"),
    ("fp16 and too small", "json_lines"),
    ("bad numbers and annealed early", "gzipped"),
]


def told(case, writer, folder, seed=0):
    make, causes, verdicts, plan = PLANTED[case]
    return sf.why(WRITERS[writer](folder, make(seed)), plan), causes, verdicts


def test_the_cases_are_what_they_should_be():
    assert len(CASES) >= 40
    assert len({writer for _, writer in CASES}) >= 12
    assert len({cause for case, _ in CASES for cause in PLANTED[case][1]}) >= 20
    assert sum(len(PLANTED[case][1]) > 1 for case, _ in CASES) >= 5


@pytest.mark.parametrize(("case", "writer"), CASES)
def test_a_planted_fault_is_among_at_most_three_causes_and_none_is_certain_that_is_wrong(case, writer, tmp_path):
    found, causes, verdicts = told(case, writer, tmp_path)
    words = [cause.word for cause in found.causes]
    assert set(causes) <= set(words), str(found)
    assert len(words) <= 3
    assert found.verdict in verdicts, str(found)
    for cause in found.causes:
        assert not cause.certain or cause.word in causes, f"{cause.word} is not what happened"
    assert not found.certain or words == causes
    assert bool(words) == bool(causes)
    if words:
        assert 1 <= len(found.try_first) <= 3
        assert found.measures


@pytest.mark.parametrize("case", ["good", "slow divergence", "bad numbers", "oscillation", "schedule and divergence"])
def test_an_answer_survives_json(case, tmp_path):
    found, *_ = told(case, "plain_csv", tmp_path)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert sf.Why.from_dict(json.loads(text)) == found
    assert str(sf.Why.from_dict(json.loads(text))) == str(found)


# laws


@settings(max_examples=10)
@given(st.sampled_from([2.0**-20, 0.25, 2.0**12]), st.sampled_from(sorted(PLANTED)))
def test_the_unit_of_the_rate_does_not_matter(unit, case):
    make, _, _, plan = PLANTED[case]
    if plan is not None or case in ("much too small", "best constant"):  # rate x norm^2 is compared with the loss
        return
    rows = make(1)
    assert words_of(rows) == words_of([{**row, "lr": unit * row["lr"]} for row in rows])


@settings(max_examples=10)
@given(st.integers(1, 10**9), st.sampled_from(sorted(PLANTED)))
def test_where_the_steps_begin_does_not_matter(begin, case):
    make, _, _, plan = PLANTED[case]
    if plan is not None or "numbers" in case or "rows" in case:  # the first loss of a run is another matter
        return
    rows = make(2)
    assert words_of(rows) == words_of(
        [{**row, "step": row["step"] + begin} for row in rows if "epoch" not in row] or rows
    )


def words_of(rows):
    names = {"norm": "grad_norm", "val": "val_loss", "scale": "loss_scale"}
    found = sf.why([{names.get(key, key): value for key, value in row.items()} for row in rows])
    return found.verdict, [cause.word for cause in found.causes]


@pytest.mark.parametrize(("curvature", "diverges"), [(0.99, False), (1.01, True)])
def test_a_percent_on_either_side_of_the_limit(curvature, diverges):
    """Plain descent at a rate of 2/curvature times .99 and 1.01, from where the rounding of a run is."""
    rows = planted.descend([2.0 * curvature] * 1500, noise=0.0, observed=0.0)
    found = sf.why(rows)
    assert (found.verdict == "diverging") == diverges
    if diverges:
        text = next(line for line in found.try_first if "plain gradient descent" in line)
        limit = float(text.rpartition("limit at ")[2].rstrip(")"))
        assert limit == pytest.approx(2.0, rel=0.002)  # the growth says where the limit is


def test_the_growth_of_a_divergence_is_measured():
    loss = [1 + 3 * 0.9**k for k in range(100)] + [1 + 0.01 * 1.07**k for k in range(100)]
    found = sf.why({"step": range(200), "loss": loss, "lr": [0.1] * 200})
    assert found.verdict == "diverging"
    assert "by a factor of 1.07 per step" in found.summary
    assert "the rate there was 0.1" in found.summary
    assert found.try_first[0].startswith("a rate of 0.03333 instead of 0.1")


def test_what_came_first_is_said():
    rows = planted.gradient_not_finite(3)
    found = sf.why([{"step": r["step"], "loss": r["loss"], "grad_norm": r["norm"]} for r in rows])
    first = next(r["step"] for r in rows if not math.isfinite(r["norm"]))
    assert f"the gradient was not finite at step {first} while the loss still was" in str(found)


def test_a_plateau_at_the_entropy_of_the_labels_is_told_when_it_is_given():
    rng = np.random.default_rng(0)
    loss = [1.9 + 0.4 * math.exp(-k / 5) + 0.003 * rng.standard_normal() for k in range(400)]
    columns = {"step": range(400), "loss": loss, "lr": [0.01] * 400}
    found = sf.why(columns, entropy=1.9)
    assert found.verdict == "cannot tell"
    assert found.causes[0].word == "best constant"
    assert "the best constant prediction" in found.causes[0].says


def test_a_rate_of_zero_is_certain_and_nothing_else_is_blamed():
    found = sf.why(planted.rate_of_zero(0))
    assert found.certain
    assert [cause.word for cause in found.causes] == ["rate is 0"]


def test_a_long_log_is_looked_at_in_bounded_memory():
    """A window of a fortieth of a long run, at each of its rows, would be gigabytes."""
    from surefoot.audits.failures._signal import REACH, running_median

    rng = np.random.default_rng(0)
    curve = np.exp(-np.arange(60_000) / 2e4) + 0.01 * rng.standard_normal(60_000)
    smooth = running_median(curve, 1500)
    assert np.abs(smooth - np.exp(-np.arange(60_000) / 2e4)).max() < 0.01
    assert running_median(curve[:400], REACH) == pytest.approx(
        [np.median(curve[max(i - w, 0) : i + w + 1]) for i in range(400) for w in [min(i, 399 - i, REACH)]]
    )
    loss = np.concatenate([curve, 0.05 + 1e-3 * 1.002 ** np.arange(5000)])
    found = sf.why({"step": np.arange(65_000), "loss": loss, "lr": np.full(65_000, 0.1)})
    assert found.verdict == "diverging"
    assert "by a factor of 1.002 per step" in found.summary


# abstention


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"step": [0, 1, 2], "loss": [2.0, 1.9, 1.8]}, "too few"),
        ({"step": range(50), "lr": [0.1] * 50}, "no loss was logged"),
        ({"step": range(50), "loss": [1.0, 1.001] * 25}, "look alike"),
    ],
)
def test_a_log_that_cannot_tell(columns, says):
    found = sf.why(columns)
    assert found.verdict == "cannot tell"
    assert says in found.summary
    assert not found.certain


@pytest.mark.parametrize("seed", range(6))
def test_good_runs_of_other_kinds_are_left_alone(seed):
    """Power laws, heavy tails, noise that grows small with the loss: no fault is found in any."""
    rng = np.random.default_rng(seed)
    k = np.arange(600)
    curves = [
        6.0 * (k + 10.0) ** -0.25 * (1 + 0.02 * rng.standard_normal(600)),
        0.5 + 2 * np.exp(-k / 60) + 0.05 * rng.standard_t(4, 600),
        2.3 * np.exp(-k / 100) * np.exp(0.2 * rng.standard_normal(600)) + 1e-3,
        -40 + 60 * np.exp(-k / 80) + 0.5 * rng.standard_normal(600),
    ]
    for curve in curves:
        found = sf.why({"step": k, "loss": curve, "lr": np.full(600, 0.01)})
        assert found.verdict == "good", str(found)
        assert not any(cause.certain for cause in found.causes)


# input


def test_what_is_no_log_is_refused():
    with pytest.raises(InvalidInput, match="no column of a loss, a gradient norm or a rate among step, accuracy"):
        sf.why({"step": [1, 2], "accuracy": [0.1, 0.2]})
    with pytest.raises(InvalidInput, match="no column 'cost'"):
        sf.why({"step": [1], "loss": [1.0]}, loss="cost")
    with pytest.raises(InvalidInput, match="the loss must be a number"):
        sf.why({"step": [1], "loss": ["high"]})
    with pytest.raises(InvalidType):
        sf.why(3)


# the command


@pytest.mark.parametrize(("case", "code"), [("good", 0), ("bad batch", 0), ("slow divergence", 1), ("too small", 1)])
def test_exit_codes(command, tmp_path, case, code):
    path = plain_csv(tmp_path, PLANTED[case][0](0))
    found, out, err = command("why", str(path))
    assert (found, err) == (code, "")
    assert PLANTED[case][2][0] in out.splitlines()[0]


def test_json_report_and_figure(command, tmp_path):
    rows = planted.slow_divergence(0)
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    plain_csv(tmp_path, rows[:400]).rename(first)
    plain_csv(tmp_path, rows[400:]).rename(second)
    code, out, err = command("why", str(first), str(second), "--json", "--report", "r.html", "--png", "r.png")
    assert code == 1
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (record["kind"], record["verdict"]) == ("why", "diverging")
    assert "report:" in err
    page = (tmp_path / "r.html").read_text()
    assert "rate above the limit" in page
    assert "slow divergence from here" in page or "diverged from here" in page
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_bad_usage(command, tmp_path):
    plain_csv(tmp_path, planted.good(0, 100))
    for arguments, says in [
        (["why"], "LOG"),
        (["why", "nothing.csv"], "no such file"),
        (["why", "log.csv", "--plan", "cosin:1"], "did you mean cosine"),
        (["why", "log.csv", "--loss", "cost"], "no column 'cost'"),
    ]:
        code, _, err = command(*arguments)
        assert code == 2
        assert says in err
        assert "Traceback" not in err


def test_a_closed_stdout_ends_nothing(tmp_path):
    path = plain_csv(tmp_path, planted.good(0, 200))
    call = f"'{sys.executable}' -c 'from surefoot.cli import main; main()' why '{path}' >&-"
    done = subprocess.run(["sh", "-c", call], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# real trainings


def trained(optimizer, rate, steps=500):
    """A small network on the digits, as it is logged; a loss that is not finite goes on as such."""
    torch = pytest.importorskip("torch")
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    inputs = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
    made = {"sgd": lambda p: torch.optim.SGD(p, rate, momentum=0.9), "adamw": lambda p: torch.optim.AdamW(p, rate)}
    stepper = made[optimizer](model.parameters())
    rows = []
    for k in range(steps):
        some = torch.randint(0, len(inputs), (32,), generator=generator)
        stepper.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[some]), labels[some])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), math.inf)
        rows.append({"step": k, "loss": loss.item(), "lr": rate, "grad_norm": norm.item()})
        stepper.step()
    return rows


@pytest.mark.parametrize(
    ("optimizer", "rate", "verdicts", "cause", "never"),
    [
        ("sgd", 0.1, {"good"}, None, "rate too small"),
        ("adamw", 1e-3, {"good"}, None, "rate too small"),
        ("sgd", 1e-5, {"too small"}, "rate too small", "rate above the limit"),
        ("adamw", 1e-6, {"too small"}, "rate too small", "rate above the limit"),
        # dead after a few steps, at the loss of a guess: the opposite of a rate too small
        ("sgd", 3.0, {"cannot tell", "diverging"}, "rate above the limit", "rate too small"),
        ("adamw", 1.0, {"cannot tell", "diverging"}, "rate above the limit", "rate too small"),
    ],
)
def test_trainings_of_a_network(optimizer, rate, verdicts, cause, never):
    rows = trained(optimizer, rate)
    for every in (1, 20):
        found = sf.why(rows[::every])
        words = [each.word for each in found.causes]
        assert found.verdict in verdicts, str(found)
        assert cause is None or cause in words, str(found)
        assert never not in words, str(found)


def test_a_very_long_column_is_cut_in_a_message():
    with pytest.raises(InvalidInput) as seen:
        sf.why({"step": range(30), "x" * 5000: range(30)})
    assert len(str(seen.value)) < 300
