"""Mutation testing of a room: break one place at a time, run the room's tests, list what no test noticed.

    python tools/mutate.py stability --sample 150 --seed 0

A survivor is a place where the code can be changed without a test failing: it wants a test, or it makes no difference.
cosmic-ray makes the mutants, in a copy of the working tree. (mutmut leaves out every function under a decorator other
than staticmethod and classmethod, here 77 of 189 in methods, and all constants of modules.)
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[1]
# The tests that speak for a room; quick ones first, since a mutant's run ends at the first failure.
TESTS = {
    "stability": ["tests/stability/test_limits.py", "tests/stability"],
    "methods": ["tests/methods"],
    "rules": ["tests/rules"],
    "training/loop": ["tests/training/loop", "tests/training/guard", "tests/training/pilot"],
}
# Mutants that a type hint such as `float | None` kills at import, and arithmetic that no slip of a hand would make.
DULL = r".*(BitOr|BitAnd|BitXor|Shift|Invert|_Is(Not)?$|Operator_Is).*"
# A mutant that loops is dead after so many seconds: the slowest of these suites takes a third of it on two cores.
TIMEOUT = 600


def main() -> int:
    """Exit code 0 when every mutant was noticed, 1 with survivors, 2 where the tests fail without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=TESTS)
    parser.add_argument("--sample", type=int, default=150, help="places to break, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="surefoot-mutants-") as folder:
        return mutate(Path(folder), chosen.room, chosen.sample, chosen.seed)


def mutate(folder: Path, room: str, sample: int, seed: int) -> int:
    """Run the sample in a copy of the tree in that folder, and print the survivors."""
    copy_tree(folder)
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    tests = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {' '.join(TESTS[room])}"
    (folder / "mutants.toml").write_text(
        f'[cosmic-ray]\nmodule-path = "src/surefoot/{room}"\ntimeout = {TIMEOUT}\nexcluded-modules = []\n'
        f'test-command = "{tests}"\n[cosmic-ray.distributor]\nname = "local"\n'
        f'[cosmic-ray.filters.operators-filter]\nexclude-operators = ["{DULL}"]\n'
    )

    def call(*command: str) -> int:
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode

    # Bytecode that is checked by content: a mutant of the same length within the same second is not run stale.
    call(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "src")
    if call(*tests.split()):
        print(f"the tests of {room} fail without a mutant")
        return 2
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    call("cosmic-ray", "init", "mutants.toml", "mutants.sqlite")
    call("cr-filter-operators", "mutants.sqlite", "mutants.toml")
    with use_db(folder / "mutants.sqlite", WorkDB.Mode.open) as database:
        draw(database, sample, seed)
    call("cosmic-ray", "exec", "mutants.toml", "mutants.sqlite")
    with use_db(folder / "mutants.sqlite", WorkDB.Mode.open) as database:
        return report(database, room, seed)


def copy_tree(folder: Path) -> None:
    """Copy what git tracks or would track, as it stands on disk."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def draw(database: WorkDB, sample: int, seed: int) -> None:
    """Keep one mutant in each of `sample` places; places weigh the same, though some have ten mutants."""
    places: dict[tuple[str, tuple[int, int]], list[str]] = {}
    for item in database.pending_work_items:
        place = item.mutations[0]
        places.setdefault((str(place.module_path), place.start_pos), []).append(item.job_id)
    generator = random.Random(seed)
    names = sorted(places)
    kept = {generator.choice(sorted(places[name])) for name in generator.sample(names, min(sample, len(names)))}
    print(f"{len(kept)} of {len(names)} places", flush=True)
    for item in list(database.pending_work_items):
        if item.job_id not in kept:
            database.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def report(database: WorkDB, room: str, seed: int) -> int:
    """Print each survivor as a diff, then the counts."""
    results = dict(database.results)
    ran = {job: found for job, found in results.items() if found.worker_outcome is not WorkerOutcome.SKIPPED}
    survivors = [found for found in ran.values() if found.test_outcome is TestOutcome.SURVIVED]
    for found in survivors:
        print("\n".join(line for line in (found.diff or "").splitlines() if line.startswith(("---", "@@", "-", "+"))))
        print()
    print(f"{room}, seed {seed}: {len(ran) - len(survivors)} of {len(ran)} mutants noticed, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
