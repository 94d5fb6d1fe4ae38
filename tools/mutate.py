"""Mutation testing of a room: break one place at a time, run the tests that reach it, list what no test noticed.

    python tools/mutate.py stability --sample 150 --seed 0

A survivor is a place where the code can be changed without a test failing: it wants a test, or it makes no difference.
cosmic-ray makes the mutants, in a copy of the working tree. (mutmut leaves out every function under a decorator other
than staticmethod and classmethod, here 77 of 189 in methods, and all constants of modules.) One run under coverage says
which test of the room runs which line; a mutant is shown to those of its line, the quickest first, in a process that
is forked with the libraries already loaded.
"""

import argparse
import ast
import compileall
import contextlib
import difflib
import importlib
import os
import pickle
import py_compile
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import coverage
import pytest
from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).parents[1]
# The tests that speak for a room.
TESTS = {
    "stability": ["tests/stability"],
    "methods": ["tests/methods"],
    "rules": ["tests/rules"],
    "training/loop": ["tests/training/loop", "tests/training/guard", "tests/training/pilot"],
}
# Mutants that a type hint such as `float | None` kills at import, and arithmetic that no slip of a hand would make.
DULL = re.compile(r"BitOr|BitAnd|BitXor|Shift|Invert|_Is(Not)?$|Operator_Is")
# What takes long to import, and is none of ours: loaded once, before the forks. Not pytest's plugins, such as
# hypothesis: pytest warns of those that are there before it.
LIBRARIES = ("numpy", "scipy", "torch", "sympy", "sklearn")
# A mutant may loop or fill the memory. It has three times the processor time of its tests, and 30 s to start; on the
# clock twenty times, since others may use the machine.
PROCESSOR = (3, 30)
WALL = (20, 200)
MEMORY = 12 * 2**30


@dataclass
class Trace:
    """A pytest plugin that notes of each test how long it takes and which lines of the room it runs."""

    room: Path
    seconds: dict[str, float] = field(default_factory=dict)
    # file -> line -> the tests that run it; "" stands for the import
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)

    def run(self, tests: list[str]) -> bool:
        """Run those tests; true when all passed."""
        self.cover = coverage.Coverage(data_file=None, include=[f"{self.room}/*"], config_file=False)
        self.cover.start()
        code = pytest.main([*OPTIONS, *tests], plugins=[self])
        self.cover.stop()
        data = self.cover.get_data()
        self.lines = {name: data.contexts_by_lineno(name) for name in data.measured_files()}
        self.libraries = [name for name in sys.modules if name.split(".")[0] in LIBRARIES]
        del self.cover
        return code == 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        """Give the lines that run now to this test."""
        self.cover.switch_context(item.nodeid)
        before = processor_time()
        result = yield
        self.seconds[item.nodeid] = processor_time() - before
        self.cover.switch_context("")
        return result

    def reach(self, place: MutationSpec, budget: float) -> list[str]:
        """Tests that run that place, then the others of its file, as many as the budget allows; quick ones first.

        What is cached runs in one test only and shows in others; what is run at import shows in any test.
        """
        lines = self.lines.get(str(place.module_path.resolve()), {})
        statement = statement_lines(place.module_path.read_text(), place.start_pos[0])
        direct = {test for line in statement for test in lines.get(line, [])}
        file = {test for tests in lines.values() for test in tests} - {""}
        quickest = sorted(file or self.seconds, key=lambda test: (test not in direct, self.seconds[test]))
        spent = accumulate(self.seconds[test] for test in quickest)
        return [test for test, after in zip(quickest, spent, strict=True) if after <= budget]


@dataclass
class Choice:
    """A pytest plugin that runs the tests of that list, in its order."""

    tests: list[str]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen ones."""
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in self.tests if test in found]

    def run(self) -> bool:
        """Run the tests; true when all passed or there was none."""
        files = sorted({test.split("::")[0] for test in self.tests})
        return not files or pytest.main([*OPTIONS, "-x", *files], plugins=[self]) == 0


OPTIONS = ["-q", "-p", "no:cacheprovider"]


def main() -> int:
    """Exit code 0 when every mutant was noticed, 1 with survivors, 2 where the tests fail without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=TESTS)
    parser.add_argument("--sample", type=int, default=150, help="places to break, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests that a mutant is shown at most")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="surefoot-mutants-") as folder:
        return mutate(Path(folder).resolve(), chosen.room, chosen.sample, chosen.seed, chosen.seconds)


def mutate(folder: Path, room: str, sample: int, seed: int, budget: float) -> int:
    """Run the sample in a copy of the tree in that folder, and print the survivors as they are found."""
    copy_tree(folder)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path.insert(0, str(folder / "src"))
    sys.dont_write_bytecode = True
    # Bytecode that is checked by content: a mutant of the same length within the same second is not run stale.
    compileall.compile_dir("src", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    trace = Trace(folder / "src/surefoot" / room)
    traced = folder / "trace.pickle"

    def run_traced() -> bool:
        passed = trace.run(TESTS[room])
        traced.write_bytes(pickle.dumps(trace))
        return passed

    if not fork(run_traced, processor=3600, wall=3600, output=folder / "trace.txt"):
        print((folder / "trace.txt").read_text()[-4000:])
        print(f"the tests of {room} fail without a mutant")
        return 2
    trace = pickle.loads(traced.read_bytes())
    for name in trace.libraries:
        with contextlib.suppress(Exception):
            importlib.import_module(name)

    quick = sorted(trace.seconds, key=trace.seconds.__getitem__)[:10]
    if not fork(Choice(quick).run, processor=300, wall=3000, output=folder / "forked.txt"):
        print((folder / "forked.txt").read_text()[-4000:])
        print("tests that pass fail in a process that is forked: every mutant would seem to be noticed")
        return 2
    places = draw(folder, room, sample, seed)
    survivors = sum(show(place, trace, budget) for place in places)
    print(f"{room}, seed {seed}: {len(places) - survivors} of {len(places)} mutants noticed, {survivors} survived")
    return 1 if survivors else 0


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


def draw(folder: Path, room: str, sample: int, seed: int) -> list[MutationSpec]:
    """One mutant in each of `sample` places; places weigh the same, though some have ten mutants."""
    places: dict[tuple[str, tuple[int, int]], list[MutationSpec]] = {}
    with use_db(folder / "mutants.sqlite", WorkDB.Mode.create) as database:
        init(find_modules([Path("src/surefoot") / room]), database, {})
        for item in database.pending_work_items:
            (place,) = item.mutations
            if not DULL.search(place.operator_name):
                places.setdefault((str(place.module_path), place.start_pos), []).append(place)
    generator = random.Random(seed)
    kept = generator.sample(sorted(places), min(sample, len(places)))
    print(f"{len(kept)} of {len(places)} places", flush=True)
    return [
        generator.choice(sorted(places[name], key=lambda place: (place.operator_name, place.occurrence)))
        for name in kept
    ]


def show(place: MutationSpec, trace: Trace, budget: float) -> bool:
    """Show a mutant to its tests; print it and return true when none of them noticed."""
    tests = trace.reach(place, budget)
    length = sum(trace.seconds[test] for test in tests)
    operator = get_operator(place.operator_name)(**place.operator_args)
    with use_mutation(place.module_path, operator, place.occurrence) as (before, after):
        survived = fork(
            Choice(tests).run,
            processor=PROCESSOR[0] * length + PROCESSOR[1],
            wall=WALL[0] * length + WALL[1],
            output=Path(os.devnull),
        )
    if survived:
        print(f"{place.module_path}:{place.start_pos[0]}, {len(tests)} tests, {length:.0f} s")
        changed = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[3:]
        print("\n".join(changed), "\n", flush=True)
    return survived


def fork(act: Callable[[], bool], processor: float, wall: float, output: Path) -> bool:
    """Whether `act` returns true in a process of its own, within so many seconds of processor and of wall time."""
    child = os.fork()
    if child == 0:
        passed = False
        try:
            os.setsid()
            with output.open("w", encoding="utf-8") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(processor), int(processor)))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            passed = act()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0 if passed else 1)
    end = time.monotonic() + wall
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.05)
    # What a test has started ends with it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if ended[0] == 0:
        os.waitpid(child, 0)
        return False
    return ended[1] == 0


def processor_time() -> float:
    """Seconds of processor time of this process and those that it waited for: steady on a busy machine."""
    return sum(os.times()[:4])


def statement_lines(source: str, line: int) -> range:
    """Lines of the statement at that line; of a compound one those before its body."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):  # outer nodes come first
        if isinstance(node, ast.stmt) and node.end_lineno:
            first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))])
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            if first <= line <= last:
                found = range(first, last + 1)
    return found


if __name__ == "__main__":
    sys.exit(main())
