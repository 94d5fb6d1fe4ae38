"""Writers of the formats that loggers have: (folder, rows) to a log, each as its logger writes it."""

import csv
import gzip
import json
import math

from surefoot.logs import EventWriter


def _lines(records):
    """A record a line."""
    return "".join(json.dumps(record) + "\n" for record in records)


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
    # strict JSON has no NaN
    path.write_text(_lines({k: v if math.isfinite(v) else None for k, v in row.items()} for row in rows))
    return path


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
    path.write_text(_lines({"iteration": r["step"], "lr": r["lr"], "total_loss": r["loss"], "time": 0.1} for r in rows))
    return path


def mae(folder, rows):
    path = folder / "log.txt"
    path.write_text(_lines({"train_lr": r["lr"], "train_loss": r["loss"], "epoch": r["step"]} for r in rows))
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
    path.write_bytes(gzip.compress(_lines(rows).encode()))
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
