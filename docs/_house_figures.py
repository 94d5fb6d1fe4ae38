"""The figures of the pages on the library itself: its rooms, its names, its records, its benchmarks."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
from _figures import AMBER, BLUE, GREEN, GREY, RED, shows
from matplotlib.figure import Figure

import surefoot as sf

ROOT = Path(__file__).parents[1]


@shows("architecture.md", "The rooms, ground floor below: imports point downwards only.")
def rooms():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    floors = next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")[1:]
    figure = Figure(figsize=(5.2, 4.6))
    axes = figure.subplots()
    for level, floor in enumerate(reversed(floors)):
        names = floor.split(" | ")
        for i, name in enumerate(names):
            axes.barh(level, 1 / len(names) - 0.01, left=i / len(names), height=0.82, color=BLUE, alpha=0.15)
            axes.text((i + 0.5) / len(names), level, name, ha="center", va="center", fontsize=9)
    axes.set_axis_off()
    return figure


@shows("list.md", "What the registry holds, by kind.")
def named_targets():
    rows = [row for row in sf.targets.registry() if row.name != "FILE"]
    kinds = ("network", "problem", "ode", "map")
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.subplots()
    for column, (kind, colour) in enumerate(zip(kinds, (BLUE, GREEN, AMBER, RED), strict=True)):
        names = [row.name for row in rows if row.kind == kind]
        axes.text(column, 0.7, f"{kind} ({len(names)})", ha="center", weight="bold", color=colour)
        for place, name in enumerate(names):
            axes.text(column, -place, name, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.5, 3.6), ylim=(-9.5, 1.3))
    axes.set_axis_off()
    return figure


@shows("json.md", "How many entries a record of each kind on this page has.")
def entries(axes):
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    kinds = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    counts = [(kind, len(re.findall(r"^\| \w", body, flags=re.MULTILINE)) - 1) for kind, body in kinds]
    counts = sorted((pair for pair in counts if pair[1] > 0), key=lambda pair: pair[1])
    axes.set(xlabel="entries")
    axes.figure.set_figheight(0.22 * len(counts) + 1)
    axes.barh([kind for kind, _ in counts], [count for _, count in counts], color=BLUE, alpha=0.6)
    axes.tick_params(axis="y", labelsize=8)


@shows(
    "benchmarks.md",
    "Training without a rate, along the gradient (above) and along Adam's directions: how many of eighteen tasks end "
    "with at most 1, 3 and 10% regret.",
)
def regrets(axes):
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    # eighteen tasks, and room for the legend
    axes.set(xlabel="tasks", xlim=(0, 26), xticks=range(0, 19, 3))
    adamw, sgd = (results[f"rate-free-{family}"]["tables"][0]["rows"][::-1] for family in ("adamw", "sgd"))
    rows = [*adamw, *sgd]
    axes.figure.set_figheight(0.22 * len(rows) + 1)
    # a gap between the two kinds of directions
    places = [i + (i >= len(adamw)) for i in range(len(rows))]
    for column, colour, label in ((4, GREY, "at most 10%"), (3, BLUE, "3%"), (2, GREEN, "1%")):
        axes.barh(places, [row[column] for row in rows], color=colour, alpha=0.7, label=label)
    axes.set_yticks(places, [row[0] for row in rows], fontsize=8)


@shows(
    "past-one-machine.md",
    "What a GPU receives for one product with the Hessian of a model of 7 billion parameters, by the sums below.",
)
def bytes_received(axes):
    axes.set(xlabel="GPUs", ylabel="gigabytes per product", xscale="log")
    gpus = np.array([1, 2, 4, 8, 16, 32, 64])
    vector, others = 4 * 7.0, (gpus - 1) / gpus
    axes.plot(gpus, 3.5 * vector * others, "o-", color=RED, label="received, model in parts")
    axes.plot(gpus, 2 * vector * others, "o-", color=BLUE, label="received, data in parts")
    axes.plot(gpus, 8 * vector / gpus, "o--", color=GREY, label="kept: eight vectors in parts")
