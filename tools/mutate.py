"""Mutation testing: break the code in one place, run the tests that reach it, report what no test noticed.

    python tools/mutate.py stability --sample 80 --seed 1
    python tools/mutate.py stability methods rules training/loop --write survivors.toml
    python tools/mutate.py --only survivors.toml --tests tests/rules/test_watch.py

A mutant that survives wants a test, or shows code that makes no difference. The ones that change nothing are listed
with the reason in tools/equivalent_mutants.toml, and are reported apart.

cosmic-ray makes the mutants, in a copy of the working tree. (mutmut leaves out constants of modules, and every function
under a decorator other than staticmethod and classmethod.) One run under coverage says which test runs which line. Each
mutant meets the tests of its line, the quickest first, then those of its file, in a process that is forked with the
libraries already loaded; so one that is noticed costs about a second.
"""

import argparse
import ast
import compileall
import contextlib
import importlib
import json
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
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import coverage
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.toml"
# The tests that speak for a room, beside the examples in its docstrings and the contract on what it exports.
TESTS = {
    "stability": ["tests/stability"],
    "methods": ["tests/methods"],
    "rules": ["tests/rules"],
    "training/loop": ["tests/training/loop", "tests/training/guard", "tests/training/pilot"],
}
CONTRACT = "tests/test_contract.py"
# Mutants that a type hint such as `float | None` kills at import, and arithmetic that no slip of a hand would make.
DULL = re.compile(r"BitOr|BitAnd|BitXor|Shift|Invert|_Is(Not)?$|Operator_Is|VariableReplacer|VariableInserter")
# What takes long to import, and is none of ours: loaded once, before the forks.
LIBRARIES = ("numpy", "scipy", "torch", "sympy", "sklearn", "hypothesis")
# Plugins that are installed by chance cost half of the time of a short test. Hypothesis is loaded before pytest, which
# would warn that it cannot rewrite its assertions.
OPTIONS = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
# Tests of more than so many seconds come last, whatever they run.
LONG = 1.0
# A mutant may loop or fill the memory. It has three times the processor time of its tests, and 30 s to start; on the
# clock twenty times, since others may use the machine.
PROCESSOR = (3, 30)
WALL = (20, 200)
MEMORY = 12 * 2**30


@dataclass(frozen=True)
class Mutant:
    """Some lines of a file, and what stands there instead."""

    file: str
    line: int
    before: str
    after: str

    @property
    def room(self) -> str:
        """The room that the file is in."""
        return next(room for room in TESTS if self.file.startswith(f"src/surefoot/{room}/"))

    def is_one_of(self, known: list["Mutant"]) -> bool:
        """Whether it is listed, wherever in the file it stands now; an entry without `after` stands for the line."""
        return any(
            (self.file, self.before) == (one.file, one.before) and one.after in ("", self.after) for one in known
        )

    def apply(self, text: str) -> str:
        """The file with the change, at the place next to `line`.

        Raises
        ------
        ValueError
            If the file has no such lines.
        """
        lines, old = text.splitlines(), self.before.splitlines()
        there = [k for k in range(len(lines)) if lines[k : k + len(old)] == old]
        if not there:
            raise ValueError(f"{self.file} has no line {self.before.strip()!r} any more; take the entry out")
        k = min(there, key=lambda k: abs(k + 1 - self.line))
        return "\n".join([*lines[:k], *self.after.splitlines(), *lines[k + len(old) :]]) + "\n"

    def __str__(self) -> str:
        """In the form of a diff."""
        changed = [f"  - {line}" for line in self.before.splitlines()] + [f"  + {x}" for x in self.after.splitlines()]
        return "\n".join([f"{self.file}:{self.line}", *changed])


@dataclass
class Trace:
    """A pytest plugin that notes of each test how long it takes and which lines of the room it runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    # file -> line -> the tests that run it; "" stands for the import
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)

    def run(self, room: str, tests: list[str]) -> bool:
        """Run tests; true when all passed."""
        source = f"src/surefoot/{room}"
        self.cover = coverage.Coverage(data_file=None, include=[f"{source}/*"], config_file=False)
        self.cover.start()
        code = pytest.main([*OPTIONS, *tests], plugins=[self])
        self.cover.stop()
        data = self.cover.get_data()
        self.lines = {os.path.relpath(name): data.contexts_by_lineno(name) for name in data.measured_files()}
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

    def reach(self, mutant: Mutant, budget: float) -> list[str]:
        """Tests that run that place, then others of its file, as many as the budget allows; quick ones first.

        What is cached runs in one test only and shows in others; what is run at import shows in any test.
        """
        lines = self.lines.get(mutant.file, {})
        statement = statement_lines(Path(mutant.file).read_text(encoding="utf-8"), mutant.line)
        direct = {test for line in statement for test in lines.get(line, [])}
        file = {test for tests in lines.values() for test in tests} - {""}
        if "" in direct:  # the contract looks at signatures and classes without running a line of them
            direct |= {test for test in self.seconds if test.startswith(CONTRACT)}
        reached = self.seconds if "" in direct or not file else file

        def order(test: str) -> tuple[bool, bool, bool, float]:
            length = self.seconds[test]
            return length > LONG, test not in direct, test not in file, length

        quickest = sorted(reached, key=order)
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


def main() -> int:
    """Exit code 0 when every mutant was noticed or is known to be equivalent, 1 with survivors, 2 on failing tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", help=f"of {', '.join(TESTS)}; default: all")
    parser.add_argument("--sample", type=int, default=80, help="places to break in each room, at random (default 80)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default 0)")
    parser.add_argument("--seconds", type=float, default=30.0, help="most test time for one mutant (default 30)")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="show them these tests; default: all of the room")
    parser.add_argument("--only", type=Path, metavar="FILE", help="the mutants of this file instead of a sample")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the survivors there, for --only")
    chosen = parser.parse_args()
    if unknown := set(chosen.rooms) - set(TESTS):
        parser.error(f"no such room: {', '.join(unknown)}; choose from {', '.join(TESTS)}")
    listed = read(chosen.only) if chosen.only else None
    equivalent = read(EQUIVALENT)
    written = chosen.write and chosen.write.resolve()
    survivors: list[Mutant] = []
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="surefoot-mutants-") as folder:
        enter_copy(Path(folder).resolve())
        for room in chosen.rooms or TESTS:
            if listed is None:
                mutants = list(draw(room, chosen.sample, chosen.seed))
            else:
                mutants = [mutant for mutant in listed if mutant.room == room]
            if not mutants:
                continue
            trace = measure(room, chosen.tests or [*TESTS[room], f"src/surefoot/{room}", CONTRACT])
            if trace is None:
                return 2
            lived = [one for k, one in enumerate(mutants) if survives(one, trace, chosen.seconds, (k, len(mutants)))]
            open_ones = [mutant for mutant in lived if not mutant.is_one_of(equivalent)]
            survivors += open_ones
            noticed, same = len(mutants) - len(lived), len(lived) - len(open_ones)
            rows.append(
                f"| {room} | {len(mutants)} | {noticed} | {noticed / len(mutants):.0%} | {same} | {len(open_ones)} |"
            )
            if written:
                written.write_text("".join(entry(mutant) for mutant in survivors))
    for mutant in survivors:
        print(f"\n{mutant}")
    print("\n| room | mutants | noticed | share | equivalent | survived |\n|---|---:|---:|---:|---:|---:|")
    print("\n".join(rows))
    return 1 if survivors else 0


def read(path: Path) -> list[Mutant]:
    """The mutants of a TOML file."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    return [Mutant(e["file"], e["line"], e["before"], e.get("after", "")) for e in entries]


def entry(mutant: Mutant) -> str:
    """A mutant in TOML; a JSON string is one of TOML too."""
    fields = ("file", "line", "before", "after")
    lines = [f"{name} = {json.dumps(getattr(mutant, name), ensure_ascii=False)}" for name in fields]
    return "\n".join(["[[mutant]]", *lines, 'why = ""\n\n'])


def enter_copy(folder: Path) -> None:
    """Copy what git tracks or would track, as it stands on disk, and go there."""
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
    os.chdir(folder)
    os.environ |= {
        "PYTHONPATH": str(folder / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    sys.path.insert(0, str(folder / "src"))
    sys.dont_write_bytecode = True
    # Bytecode that is checked by content: a mutant of the same length within the same second is not run stale.
    compileall.compile_dir("src", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def measure(room: str, tests: list[str]) -> Trace | None:
    """The times of tests and the lines of a room that they run; None, and said why, where they fail."""
    print(f"{room}: running its tests under coverage", flush=True)
    trace, file, output = Trace(), Path("trace.pickle"), Path("trace.txt")

    def run_traced() -> bool:
        passed = trace.run(room, tests)
        file.write_bytes(pickle.dumps(trace))
        return passed

    if not fork(run_traced, 3600, 3600, output):
        print(output.read_text(encoding="utf-8")[-4000:], f"the tests of {room} fail without a mutant", sep="\n")
        return None
    trace = pickle.loads(file.read_bytes())
    for name in trace.libraries:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    quick = sorted(trace.seconds, key=trace.seconds.__getitem__)[:10]
    if not fork(Choice(quick).run, 300, 3000, output):
        print(output.read_text(encoding="utf-8")[-4000:], "tests that pass fail in a forked process", sep="\n")
        return None
    return trace


def draw(room: str, sample: int, seed: int) -> Iterator[Mutant]:
    """One mutant in each of `sample` places; places weigh the same, though some have ten mutants."""
    places: dict[tuple[str, tuple[int, int]], list[tuple[str, int]]] = {}
    for path in sorted(Path("src/surefoot", room).rglob("*.py")):
        nodes = list(ast_nodes(get_ast(path.read_text(encoding="utf-8"))))
        for name in sorted(operator_names()):
            if DULL.search(name):
                continue
            operator = get_operator(name)()
            found = (place for node in nodes for place in operator.mutation_positions(node))
            for occurrence, (start, _) in enumerate(found):
                places.setdefault((str(path), start), []).append((name, occurrence))
    print(f"{room}: {min(sample, len(places))} of {len(places)} places, seed {seed}", flush=True)
    generator = random.Random(seed)
    for file, start in generator.sample(sorted(places), min(sample, len(places))):
        text = Path(file).read_text(encoding="utf-8")
        for name, occurrence in generator.sample(places[file, start], len(places[file, start])):
            mutated = mutate_code(text, get_operator(name)(), occurrence)
            if changes(text, mutated):
                yield difference(file, text, mutated)
                break


def changes(text: str, mutated: str) -> bool:
    """Whether a mutant is Python that says something else.

    The star of a parameter list is taken for a product: as `**` it is no Python, and as `/` it only lets internal
    callers write less. `strict` of a zip is an assertion.
    """
    try:
        before, after = (ast.parse(re.sub(r"strict=(True|False)", "", x)) for x in (text, mutated))
    except SyntaxError:
        return False
    stars = [[len(n.kwonlyargs) for n in ast.walk(tree) if isinstance(n, ast.arguments)] for tree in (before, after)]
    return stars[0] == stars[1] and ast.dump(before) != ast.dump(after)


def difference(file: str, text: str, mutated: str) -> Mutant:
    """The lines that differ, between those that are equal at the top and at the bottom."""
    old, new = text.splitlines(), mutated.splitlines()
    same = [a == b for a, b in zip(old, new, strict=False)]
    top = same.index(False) if False in same else len(same)
    turned = zip(reversed(old[top:]), reversed(new[top:]), strict=False)
    bottom = next((k for k, (a, b) in enumerate(turned) if a != b), min(len(old), len(new)) - top)
    return Mutant(file, top + 1, "\n".join(old[top : len(old) - bottom]), "\n".join(new[top : len(new) - bottom]))


def survives(mutant: Mutant, trace: Trace, budget: float, place: tuple[int, int]) -> bool:
    """Show a mutant to its tests; true when none of them noticed."""
    tests = trace.reach(mutant, budget)
    length = sum(trace.seconds[test] for test in tests)
    file, begun = Path(mutant.file), processor_time()
    text = file.read_text(encoding="utf-8")
    file.write_text(mutant.apply(text), encoding="utf-8")
    try:
        lived = fork(
            Choice(tests).run,
            PROCESSOR[0] * length + PROCESSOR[1],
            WALL[0] * length + WALL[1],
            Path(os.devnull),
        )
    finally:
        file.write_text(text, encoding="utf-8")
    said = "survived" if lived else "noticed "
    cost = f"{processor_time() - begun:5.1f} s of {len(tests)} tests"
    print(f"{place[0] + 1:4}/{place[1]} {said} {mutant.file}:{mutant.line}, {cost}", flush=True)
    return lived


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


def statement_lines(source: str, line: int) -> Iterable[int]:
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
