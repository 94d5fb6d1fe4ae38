"""Runs with a planted fault, and writers of the formats that loggers have.

The runs are real descents on small problems where a fault is one of dynamics (a rate above 2/curvature, a map with an
orbit of period 2, a schedule that ran another way); what does not come from dynamics (a NaN in a batch, a checkpoint
without its optimizer) is put in where it would stand.
"""

import csv
import gzip
import json
import math

import numpy as np

from surefoot.logs import EventWriter

# A valley with curvatures over two decades; the largest is 1, so a rate of 2 is the limit.
CURVATURES = np.geomspace(0.01, 1.0, 12)
LN10 = math.log(10)


def descend(rates, *, seed=0, noise=0.05, floor=0.3, sharpen=None, every=1, push=None, observed=0.01):
    """Noisy gradient descent on the valley: rows with step, loss, lr and norm.

    `sharpen(k)` multiplies the curvature at step k; `push` maps steps to what a batch unlike the others adds to the
    gradient. A run that has gone beyond what single precision holds goes on with NaN, as a trainer's would.
    """
    rng = np.random.default_rng(seed)
    x = np.full(len(CURVATURES), 2.0) * rng.choice([-1, 1], len(CURVATURES))
    rows = []
    for k, rate in enumerate(rates):
        curvature = CURVATURES * (sharpen(k) if sharpen else 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = floor + float(np.sum(curvature * x * x)) / 2
            gradient = curvature * x + noise * np.sqrt(curvature) * rng.standard_normal(len(x))
            if k in (push or {}):
                gradient = gradient + push[k] * curvature * rng.choice([-1, 1], len(x))
            x = x - rate * gradient
            norm = float(np.linalg.norm(gradient))
        if k % every == 0:
            rows.append({"step": k, "loss": loss + observed * rng.standard_normal(), "lr": float(rate), "norm": norm})
        if not loss < 1e12:
            rest = [
                {"step": j, "loss": math.nan, "lr": float(rates[j]), "norm": math.nan} for j in range(k + 1, len(rates))
            ]
            return rows + rest[:40:every]
    return rows


def cosine(steps, peak, warmup=0, pace=1):
    """A cosine with a linear warm-up, stepped `pace` times per step."""
    rates = []
    for k in range(steps):
        p = min(pace * k, steps)
        rates.append(
            peak * p / warmup if p < warmup else peak * (1 + math.cos(math.pi * (p - warmup) / (steps - warmup))) / 2
        )
    return rates


def good(seed, steps=800):
    return descend(cosine(steps, 0.5, 50), seed=seed)


def above_the_limit(seed, steps=800):
    return descend([2.1] * steps, seed=seed)


def slow_divergence(seed, steps=1000):
    return descend([0.8] * steps, seed=seed, sharpen=lambda k: 1 + 1.7 * k / steps)


def climbs(seed, steps=800):
    return descend(cosine(steps, 3.0, 200), seed=seed)


def jumped(seed, steps=900):
    rates = cosine(450, 1.2, 30) * 2
    return descend(rates[:steps], seed=seed, sharpen=lambda k: 1 + (k > 300) * 1.5)


def bad_batch(seed, steps=800):
    rng = np.random.default_rng(seed)
    return descend(cosine(steps, 0.5, 50), seed=seed, push={int(rng.integers(300, 600)): 4.0})


def bad_numbers(seed, steps=800):
    rows = good(seed, steps)
    first = int(np.random.default_rng(seed).integers(200, 700))
    for row in rows[first:]:
        row["loss"] = row["norm"] = math.nan
    return rows


def bad_rows_of_numbers(seed, steps=800):
    rows = good(seed, steps)
    for k in np.random.default_rng(seed).integers(100, 700, 4):
        rows[int(k)]["loss"] = math.nan
    return rows


def gradient_not_finite(seed, steps=800):
    rows = good(seed, steps)
    first = int(np.random.default_rng(seed).integers(200, 700))
    rows[first]["norm"] = math.inf
    for row in rows[first + 1 :]:
        row["loss"] = row["norm"] = math.nan
    return rows


def fp16(seed, steps=800):
    rows = good(seed, steps)
    scale, first = 65536.0, int(np.random.default_rng(seed).integers(200, 500))
    for k, row in enumerate(rows):
        if k > first and k % 6 == 0:
            scale /= 2
        row["scale"] = scale
        if k > first:
            row["norm"] = math.inf if k % 6 == 0 else row["norm"]
    return rows


def oscillation(seed, steps=600, rate=2.3):
    """Gradient descent on exp(x) - x, of curvature 1 at its minimum, at a rate above 2: an orbit of period 2."""
    rng = np.random.default_rng(seed)
    x, y = 0.5, np.full(6, 2.0)
    rows = []
    for k in range(steps):
        loss = math.exp(x) - x - 1 + 0.02 * float(y @ y)
        gradient = math.exp(x) - 1 + 0.01 * rng.standard_normal()
        rows.append({"step": k, "loss": loss, "lr": rate, "norm": abs(gradient)})
        x -= rate * gradient
        y *= 0.99
    return rows


def order_of_the_data(seed, steps=1000, epoch=100):
    rows = good(seed, steps)
    for k, row in enumerate(rows):
        row["loss"] += 0.25 * (k % epoch) / epoch
        row["epoch"] = k / epoch
    return rows


def best_constant(seed, steps=500):
    rng = np.random.default_rng(seed)
    return [
        {"step": k, "loss": LN10 + 0.004 * rng.standard_normal(), "lr": 0.1, "norm": 0.3 + 0.05 * rng.random()}
        for k in range(steps)
    ]


def rate_of_zero(seed, steps=300):
    return descend([0.0] * steps, seed=seed)


def too_small(seed, steps=600):
    return descend([2e-4] * steps, seed=seed, observed=0.002)


def much_too_small(seed, steps=600):
    return descend([1e-9] * steps, seed=seed, observed=0.02)


def no_gradient(seed, steps=600):
    rows = good(seed, steps)
    first = int(np.random.default_rng(seed).integers(60, 200))
    for row in rows[first:]:
        row["loss"], row["norm"] = LN10, 0.0
    return rows


def resume_lost_state(seed, steps=1000):
    rows = good(seed, steps)
    again = [dict(row) for row in rows[560:]]
    for i, row in enumerate(again):
        row["loss"] += 0.9 * math.exp(-i / 120)
    return rows[:600] + again


def overfitting(seed, steps=1000):
    rows = good(seed, steps)
    for k, row in enumerate(rows):
        if k % 50 == 0:
            row["val"] = row["loss"] + 0.1 + 0.6 * max(k - 400, 0) / 600
    return rows


def annealed_early(seed, steps=1000):
    return descend(cosine(steps, 0.5, 20, pace=4), seed=seed)


def bad_rows(seed, steps=1000, epoch=100):
    at = int(np.random.default_rng(seed).integers(10, 90))
    rows = descend(cosine(steps, 0.5, 50), seed=seed, push={at + i * epoch: 3.0 for i in range(1, 10)})
    for k, row in enumerate(rows):
        row["epoch"] = k / epoch
    return rows


def recurring_spikes(seed, steps=1000):
    rng = np.random.default_rng(seed)
    return descend(
        [0.5] * steps, seed=seed, push={int(k): 3.0 for k in rng.choice(np.arange(150, 950), 7, replace=False)}
    )


def no_minimum(seed, steps=500):
    rng = np.random.default_rng(seed)
    return [
        {"step": k, "loss": 1.0 - 1e-3 * 1.02**k + 0.01 * rng.standard_normal(), "lr": 0.01, "norm": 0.05 * 1.01**k}
        for k in range(steps)
    ]


def rises_at_the_start(seed, steps=800):
    """A rate above the limit for the first 60 steps, until it has come down."""
    rates = [2.12 if k < 60 else 0.4 for k in range(steps)]
    return descend(rates, seed=seed, noise=0.02)


def collapse(seed, steps=800):
    rows = good(seed, steps)
    rng = np.random.default_rng(seed)
    first = int(rng.integers(300, 500))
    for row in rows[first:]:
        row["loss"], row["norm"] = LN10 + 0.005 * rng.standard_normal(), 0.02 * rng.random()
    return rows


# What was planted: how, the causes that are right (any of a tuple's words), the verdicts that are right, and the plan.
PLANTED = {
    "good": (good, [], ("good",), None),
    "rate above the limit": (above_the_limit, ["rate above the limit"], ("diverging",), None),
    "slow divergence": (slow_divergence, ["rate above the limit"], ("diverging",), None),
    "warm-up climbs": (climbs, ["warm-up climbs above the limit"], ("diverging",), None),
    "rate jumped": (jumped, ["rate jumped"], ("diverging",), None),
    "bad batch": (bad_batch, ["bad batch"], ("good",), None),
    "bad numbers": (bad_numbers, ["bad numbers"], ("diverging",), None),
    "bad rows of numbers": (bad_rows_of_numbers, ["bad numbers"], ("good",), None),
    "gradient not finite": (gradient_not_finite, ["gradient not finite"], ("diverging",), None),
    "fp16 overflow": (fp16, ["fp16 overflow"], ("good", "diverging"), None),
    "oscillation": (oscillation, ["rate at the limit"], ("oscillating",), None),
    "order of the data": (order_of_the_data, ["order of the data"], ("oscillating", "good"), None),
    "best constant": (best_constant, ["best constant"], ("cannot tell",), None),
    "rate is 0": (rate_of_zero, ["rate is 0"], ("too small",), None),
    "too small": (too_small, ["rate too small"], ("too small",), None),
    "much too small": (much_too_small, ["rate too small"], ("too small",), None),
    "no gradient": (no_gradient, ["no gradient"], ("diverging", "cannot tell"), None),
    "resume lost state": (resume_lost_state, ["resume lost state"], ("good", "diverging"), None),
    "overfitting": (overfitting, ["overfitting"], ("good",), None),
    "annealed early": (annealed_early, ["annealed early"], ("good",), None),
    "bad rows": (bad_rows, ["bad rows in the data"], ("good", "oscillating"), None),
    "recurring spikes": (recurring_spikes, ["recurring spikes"], ("good",), None),
    "no minimum": (no_minimum, ["no minimum"], ("diverging",), None),
    "rises at the start": (rises_at_the_start, ["warm-up too short"], ("good",), None),
    "collapse": (collapse, ["collapse"], ("diverging",), None),
    "stepped too often": (
        annealed_early, ["schedule: stepped too often"], ("good",), "cosine:0.5,total=1000,warmup=20",
    ),
    # two at once
    "schedule and bad numbers": (
        lambda seed: _broken(annealed_early(seed), seed),
        ["schedule: stepped too often", "bad numbers"], ("diverging",), "cosine:0.5,total=1000,warmup=20",
    ),
    "schedule and divergence": (
        jumped, ["schedule: restarted", "rate jumped"], ("diverging",), "cosine:1.2,total=450,warmup=30",
    ),
    "overfitting and annealed early": (
        lambda seed: _held_out(annealed_early(seed)), ["overfitting", "annealed early"], ("good",), None,
    ),
    "bad batch and overfitting": (
        lambda seed: _held_out(bad_batch(seed)), ["bad batch", "overfitting"], ("good",), None,
    ),
    "fp16 and too small": (
        lambda seed: _scaled(too_small(seed)), ["fp16 overflow", "rate too small"], ("too small",), None,
    ),
    "bad numbers and annealed early": (
        lambda seed: _broken(annealed_early(seed), seed), ["bad numbers", "annealed early"], ("diverging",), None,
    ),
}  # fmt: skip


def _broken(rows, seed):
    first = int(np.random.default_rng(seed).integers(600, 900))
    for row in rows[first:]:
        row["loss"] = row["norm"] = math.nan
    return rows


def _held_out(rows):
    n = len(rows)
    for k, row in enumerate(rows):
        if k % 50 == 0:
            row["val"] = row["loss"] + 0.1 + 0.6 * max(k - 0.4 * n, 0) / (0.6 * n)
    return rows


def _scaled(rows):
    for k, row in enumerate(rows):
        row["scale"] = 65536.0 / 2 ** (max(k - 200, 0) // 20)
    return rows


# Writers: (folder, rows) to a log. Each writes what its logger does; NAMES says which of our columns it can hold.


def _table(path, names, rows, delimiter=",", cell=str):
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(names.values())
        for row in rows:
            table.writerow([cell(row[key]) if key in row else "" for key in names])
    return path


def plain_csv(folder, rows):
    names = {"step": "step", "loss": "loss", "lr": "lr", "norm": "grad_norm", "scale": "loss_scale", "val": "val_loss"}
    return _table(folder / "log.csv", {**names, "epoch": "epoch"}, rows)


def german_csv(folder, rows):
    names = {"step": "Step", "loss": "Loss", "lr": "Learning Rate", "norm": "Gradient norm", "val": "Val loss"}
    return _table(folder / "log.csv", names, rows, ";", lambda v: str(v).replace(".", ","))


def tsv(folder, rows):
    names = {"step": "iteration", "loss": "train_loss", "lr": "learning_rate", "norm": "gnorm", "epoch": "epoch"}
    return _table(folder / "log.tsv", names, rows, "\t")


def lightning(folder, rows):
    """CSVLogger: a column for each metric, a row for each time something was logged."""
    path = folder / "lightning_logs" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["epoch", "grad_norm", "lr-AdamW", "step", "train_loss_step", "val_loss"])
        for row in rows:
            table.writerow(["", "", row["lr"], row["step"], "", ""])
            table.writerow([row.get("epoch", 0), row["norm"], "", row["step"], row["loss"], ""])
            if "val" in row:
                table.writerow([row.get("epoch", 0), "", "", row["step"], "", row["val"]])
    return path.parent


def wandb_export(folder, rows):
    with (folder / "export.csv").open("w", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_ALL)
        names = {"loss": "train/loss", "lr": "train/learning_rate", "norm": "train/grad_norm", "scale": "train/scaler"}
        table.writerow(
            ["Step", *(f"run-1 - {name}{part}" for name in names.values() for part in ("", "__MIN", "__MAX"))]
        )
        for row in rows:
            table.writerow([row["step"], *(row.get(key, "") for key in names for _ in range(3))])
    return folder / "export.csv"


def json_lines(folder, rows):
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps({k: _nan(v) for k, v in row.items()}) + "\n" for row in rows))
    return path


def _nan(value):
    """As strict JSON writes it."""
    return value if math.isfinite(value) else None


def trainer_state(folder, rows):
    history = []
    for row in rows:
        named = {"epoch": row["step"] / 300, "grad_norm": row["norm"], "learning_rate": row["lr"], "loss": row["loss"]}
        history.append({**named, "step": row["step"]})
        if "val" in row:
            history.append(
                {"epoch": row["step"] / 300, "eval_loss": row["val"], "eval_runtime": 1.5, "step": row["step"]}
            )
    history.append(
        {"epoch": 3.0, "step": rows[-1]["step"], "total_flos": 1e15, "train_loss": 1.0, "train_runtime": 10.0}
    )
    path = folder / "checkpoint-500" / "trainer_state.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"best_metric": None, "global_step": 500, "log_history": history}))
    return folder


def detectron2(folder, rows):
    path = folder / "metrics.json"
    path.write_text(
        "".join(
            json.dumps({"iteration": r["step"], "lr": r["lr"], "total_loss": r["loss"], "time": 0.1}) + "\n"
            for r in rows
        )
    )
    return path


def mae(folder, rows):
    path = folder / "log.txt"
    path.write_text(
        "".join(json.dumps({"train_lr": r["lr"], "train_loss": r["loss"], "epoch": r["step"]}) + "\n" for r in rows)
    )
    return path


def nanogpt(folder, rows):
    text = "tokens per iteration will be: 12,288\nnumber of parameters: 10.65M\nusing fused AdamW: True\n"
    for row in rows:
        text += f"iter {row['step']}: loss {row['loss']:.4f}, time 25.02ms, mfu 12.01%\n"
    (folder / "out.log").write_text(text)
    return folder / "out.log"


def megatron(folder, rows):
    text = "building GPT model ...\n"
    for r in rows:
        text += (
            f" [2024-03-01 12:00:00] iteration {r['step']:8d}/  500000 | consumed samples: {r['step'] * 512:12d} | "
            "elapsed "
            f"time per iteration (ms): 1203.1 | learning rate: {r['lr']:.6E} | global batch size:   512 | lm loss: "
            f"{r['loss']:.6E} | loss scale: {r.get('scale', 1.0):.1f} | grad norm: {r['norm']:.3f} | number of skipped "
            "iterations:   0 | number of nan iterations:   0 |\n"
        )
    (folder / "slurm-123.out").write_text(text)
    return folder / "slurm-123.out"


def console(folder, rows):
    """Transformers' dictionaries among progress bars."""
    text = ""
    for r in rows:
        text += f"  {r['step'] % 100}%|#         | {r['step']}/1000 [00:10<10:00,  1.03it/s]\r"
        shown = {
            "loss": round(r["loss"], 4),
            "grad_norm": r["norm"],
            "learning_rate": r["lr"],
            "epoch": r["step"] / 300,
        }
        text += f"{shown}\n"
    (folder / "train.log").write_text(text)
    return folder / "train.log"


def fairseq(folder, rows):
    text = "2021-02-01 10:00:00 | INFO | fairseq_cli.train | task: TranslationTask\n"
    for r in rows:
        text += (
            f"2021-02-01 10:00:00 | INFO | train_inner | epoch {1 + r['step'] // 300:03d}: {r['step'] % 300:6d} / 300 "
            f"loss={r['loss']:.5f}, nll_loss={r['loss']:.5f}, ppl=23, wps=10000, num_updates={r['step']}, "
            f"lr={r['lr']:.8g}, "
            f"gnorm={r['norm']:.5f}, loss_scale={r.get('scale', 128):g}, train_wall=10, wall=20\n"
        )
    (folder / "train.txt").write_text(text)
    return folder / "train.txt"


def tensorboard(folder, rows):
    writer = EventWriter(folder / "runs" / "exp")
    names = {
        "loss": "train/loss",
        "lr": "train/lr",
        "norm": "train/grad_norm",
        "scale": "train/loss_scale",
        "val": "val/loss",
    }
    for row in rows:
        for key, tag in names.items():
            if key in row:
                writer.write(row["step"], {tag: row[key]})
    writer.close()
    return folder / "runs"


def mlflow(folder, rows):
    metrics = folder / "mlruns" / "0" / "ab12" / "metrics"
    (metrics / "train").mkdir(parents=True)
    for key, name in {"loss": "train/loss", "lr": "lr", "norm": "grad_norm"}.items():
        (metrics / name).write_text("".join(f"{1700000000000 + 9 * r['step']} {r[key]} {r['step']}\n" for r in rows))
    return metrics.parent


def gzipped(folder, rows):
    path = folder / "log.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def frame(folder, rows):
    import pandas as pd

    return pd.DataFrame(rows).rename(columns={"norm": "grad_norm", "val": "val_loss", "scale": "loss_scale"})


WRITERS = {
    f.__name__: f
    for f in (
        *(plain_csv, german_csv, tsv, lightning, wandb_export, json_lines, trainer_state, detectron2, mae, nanogpt),
        *(megatron, console, fairseq, tensorboard, mlflow, gzipped, frame),
    )
}
