"""The comparisons that documents quote: python -m benchmarks [--list] [--quick] [GROUP ...].

Each group runs in a process of its own with its peers beside it, prints Markdown, and is written into results.json and
results.md in this folder, with the versions of everything and the machine. `--quick` uses the smallest sizes and writes
nothing. `--install` gets the peers, one by one; one that cannot be installed is left out. `--docs` writes the tables
into the documents that show them.
"""

import argparse
import difflib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

# The scripts in this folder import each other as they do when run alone.
sys.path.insert(0, str(Path(__file__).parent))

import quotes
from bench import Table, machine, read, section, versions, write

ROOT = Path(__file__).parents[1]
ALWAYS = ("surefoot", "numpy", "scipy")


@dataclass(frozen=True)
class Group:
    """A comparison: what of, whom with (distributions), how long, whether its numbers are times, and the function."""

    compares: str
    peers: tuple[str, ...]
    minutes: float
    timed: bool
    function: str


GROUPS = {
    "claims": Group("Four claims on random cases", (), 0.5, False, "claims:claims"),
    "spectra": Group(
        "The largest eigenvalue of matrices: ARPACK, power iteration", (), 0.5, True, "spectra:spectra_of_matrices"
    ),
    "norms": Group(
        "|A|² of operators: a closed form, PyLops, svds, power iteration", ("pylops",), 1, True, "norms:norms"
    ),
    "deblurring": Group(
        "Deblurring runs that stop by themselves", ("pylops", "pyproximal", "scikit-image"), 2, False,
        "norms:deblurring",
    ),
    "curvature": Group(
        "The largest eigenvalue of networks' Hessians",
        ("torch", "curvlinops-for-pytorch", "hessian-eigenthings", "PyHessian"), 5, True, "curvature:curvature",
    ),
    "digits": Group("Products that the digits of an interval take", ("torch",), 1, False, "curvature:digits"),
    "wide-networks": Group("Curvature of wide networks, predicted and seen", (), 1, False, "wide_networks:wide"),
    "rules": Group("Auto against the best rule in hindsight; SciPy on raw data", (), 2, False, "hindsight:auto"),
    "overhead-of-rules": Group("Time of a move over a bare loop's", (), 0.5, True, "hindsight:overhead"),
    "scipy": Group("Auto against SciPy's minimisers", (), 1, False, "quasi_newton:against_scipy"),
    "integrators": Group("The recommended integrator against SciPy's others", (), 2, False, "stiffness:integrators"),
    "noise": Group("How often a bound on noisy curvature holds", ("torch",), 1, False, "noise_coverage:coverage"),
    "limits": Group("Stability limits of Runge-Kutta methods", ("nodepy",), 0.5, False, "limits:limits"),
    "orbits": Group("Orbit diagrams against loops written by hand", (), 0.5, True, "orbits:orbits"),
    "guard": Group("Runs at too high a rate, guarded and not", ("torch", "mnist1d"), 4, False, "guard:rescues"),
    "guard-calm": Group("Runs at good rates, guarded and not: equal?", ("torch", "mnist1d"), 3, False, "guard:calm"),
    "guard-cost": Group("Time of a guarded step over a plain one's", ("torch", "mnist1d"), 2, True, "guard:cost"),
    "pilot": Group("Runs with no rate given: regret on 25 tasks", ("torch", "mnist1d"), 6, False, "pilot:regrets"),
    "pilot-cost": Group("Cost of a piloted run over a plain one's", ("torch", "mnist1d"), 3, True, "pilot:cost"),
    "range-test": Group("Regret at what range tests suggest", ("torch", "mnist1d"), 6, False, "pilot:range_tests"),
    "groups": Group("Rates of groups against one rate", ("torch",), 1, False, "groups:groups"),
    "residual": Group("Residual branches scaled and not", ("torch",), 5, False, "residual:residual"),
    "sweep": Group("The best rates in hindsight, anew", ("torch",), 30, False, "runs:sweep"),
    "finders": Group(
        "Range tests: how near the best swept rate, how repeatable",
        ("torch", "torch-lr-finder", "lightning", "mnist1d"), 5, False, "rates:finders",
    ),
    "rate-free-adamw": Group(
        "Training without a rate: regret and failures on eighteen tasks, Adam's directions",
        ("torch", "torch-lr-finder", "lightning", "prodigyopt", "schedulefree", "momo-opt", "mnist1d"),
        10, False, "rates:rate_free_adamw",
    ),
    "rate-free-sgd": Group(
        "Training without a rate: regret and failures on eighteen tasks, the gradient's direction",
        ("torch", "torch-lr-finder", "lightning", "schedulefree", "momo-opt", "dog-optimizer", "mnist1d"),
        10, False, "rates:rate_free_sgd",
    ),
    "overhead": Group(
        "Time of a training step over the plain optimizer's",
        ("torch", "prodigyopt", "schedulefree", "momo-opt"), 1, True, "rates:overhead",
    ),
    "device": Group("Curvature on a GPU, if there is one: right, and its cost", ("torch",), 0.5, True, "device:device"),
    "growth": Group("How costs grow with size", ("torch", "joblib"), 3, True, "growth:growth"),
}  # fmt: skip


def main(argv=None):
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="names from --list; all if none is given")
    parser.add_argument("--list", action="store_true", help="the groups")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes; writes nothing")
    parser.add_argument("--timed", action="store_true", help="only groups whose numbers are times")
    parser.add_argument("--install", action="store_true", help="install the peers")
    parser.add_argument("--docs", action="store_true", help="write the tables into the documents that show them")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    for name in chosen.groups:
        if name not in GROUPS:
            near = difflib.get_close_matches(name, GROUPS)
            parser.error(f"there is no group {name}; {f'{near[0]} is one' if near else '--list shows them'}")
    names = [n for n in chosen.groups or GROUPS if GROUPS[n].timed or not chosen.timed]
    if chosen.list:
        print(listing().markdown())
    elif chosen.docs:
        for page in quotes.PAGES:
            page.write_text(quotes.render(page.read_text(encoding="utf-8"), read()), encoding="utf-8")
    elif chosen.install:
        install()
    elif chosen.into:
        Path(chosen.into).write_text(json.dumps(measure(names[0], chosen.quick), allow_nan=False), encoding="utf-8")
    else:
        return run(names, chosen.quick)
    return 0


def listing():
    """The groups as a table."""
    columns = ("group", "compares", "with", "minutes", "numbers", "function")
    rows = [
        (name, g.compares, ", ".join(g.peers) or "-", g.minutes, "times" if g.timed else "counts", g.function)
        for name, g in GROUPS.items()
    ]
    return Table("groups", columns, rows)


def run(names, quick):
    """Each group in a process of its own; how many failed."""
    failed = []
    for place, name in enumerate(names, 1):
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder) / "group.json"
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks", name, "--into", str(into)]
            # One thread: what is compared is the work, and other processes take the other cores.
            environment = {"OMP_NUM_THREADS": "1", **os.environ}
            group = GROUPS[name]
            minutes = "" if quick else f", about {group.minutes:g} min"
            print(f"{place} of {len(names)}, {name}: {group.compares}{minutes}", flush=True)
            done = subprocess.run(command + ["--quick"] * quick, cwd=ROOT, env=environment, check=False)
            if done.returncode:
                failed.append(name)
                continue
            found = json.loads(into.read_text(encoding="utf-8"))
        print("\n\n".join(part for t in found["tables"] for part in section(Table.from_dict(t))) + "\n", flush=True)
        if not quick:
            # Read anew each time: another group may have been written meanwhile.
            groups = {**read(), name: found}
            write({key: groups[key] for key in GROUPS if key in groups})
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def measure(name, quick):
    """A group's tables and where they come from."""
    group = GROUPS[name]
    module, function = group.function.split(":")
    ran_on, began = machine(), time.perf_counter()
    tables = getattr(importlib.import_module(module), function)(quick)
    return {
        "compares": group.compares,
        "tables": [table.to_dict() for table in tables],
        "machine": ran_on,
        "versions": versions((*ALWAYS, *group.peers)),
        "seconds": round(time.perf_counter() - began),
    }


def install():
    """The peers of the extra `bench`, one by one, with the pins of constraints.txt."""
    had, pip = importlib.util.find_spec("torchvision"), [sys.executable, "-m", "pip"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for peer in project["optional-dependencies"]["bench"]:
        print(peer, flush=True)
        if subprocess.run([*pip, "install", "-q", "-c", "constraints.txt", peer], cwd=ROOT, check=False).returncode:
            print("  left out: it cannot be installed", flush=True)
    importlib.invalidate_caches()
    if not had and importlib.util.find_spec("torchvision"):
        # It came with curvlinops, which does not use it here, and breaks Lightning if built for another torch.
        subprocess.run([*pip, "uninstall", "-q", "-y", "torchvision"], check=False)


if __name__ == "__main__":
    sys.exit(main())
