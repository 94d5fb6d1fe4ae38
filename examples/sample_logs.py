"""Logs of two runs that went wrong, for the examples of the documentation: `write()` makes the files."""

import csv
import math

import numpy as np


def write():
    """Write diverged.csv, whose curvature outgrew its rate, and cosine.csv, stepped four times too often."""
    rng = np.random.default_rng(0)
    x, rate = np.full(12, 2.0), 0.8
    rows = []
    for k in range(1000):
        # the curvature grows by 1.7 along the way, and 2/curvature falls below the rate at step 880
        curvature = np.geomspace(0.01, 1.0, 12) * (1 + 1.7 * k / 1000)
        gradient = curvature * x + 0.05 * np.sqrt(curvature) * rng.standard_normal(12)
        loss = 0.3 + (curvature * x**2).sum() / 2 + 0.01 * rng.standard_normal()
        rows.append([k, loss, rate, np.linalg.norm(gradient)])
        x -= rate * gradient
    table("diverged.csv", ["step", "loss", "lr", "grad_norm"], rows)
    cosine = [[k, 1.0, 3e-4 * (1 + math.cos(math.pi * min(4 * k / 1000, 1))) / 2] for k in range(0, 1000, 10)]
    table("cosine.csv", ["step", "loss", "lr"], cosine)


def table(path, header, rows):
    """One file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    write()
