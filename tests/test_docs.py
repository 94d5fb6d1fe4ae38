"""Every example in the README and under docs/ runs, and prints what the page says.

A ```python block with >>> is checked as a doctest; one without is executed. The blocks of a page share one namespace,
in the order they are read. Each line `$ surefoot ...` of a ```console block is run through the command, and what it
prints on stdout is compared with what follows. Blocks in other languages are not run.
"""

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest

from surefoot.cli import run

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Pages of a library that only those who have it need.
LIBRARIES = {
    "accelerate.md": ("accelerate",), "jax.md": ("jax", "optax"), "lightning.md": ("lightning",),
    "models.md": ("transformers",), "pylops.md": ("pylops", "pyproximal"), "trainer.md": ("transformers",),
}  # fmt: skip
# The cards of the home page show what the command prints in a terminal of 80 columns.
COLUMNS = {"index.md": "80"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
CHECKER = doctest.OutputChecker()


def blocks(text):
    """(language, code, line number) of each fenced block."""
    return [(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in FENCE.finditer(text)]


def run_python(code, line, page, namespace):
    if ">>>" not in code:
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(code, namespace, page.name, str(page), line - 1)
    problems = []
    doctest.DocTestRunner(checker=CHECKER, verbose=False, optionflags=FLAGS).run(
        test, out=problems.append, clear_globs=False
    )
    assert not problems, "".join(problems)
    namespace.update(test.globs)


def run_console(code, capsys):
    for command in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        typed, _, expected = command.partition("\n")
        program, *arguments = shlex.split(typed)
        assert program == "surefoot", f"only the surefoot command is run here, not {typed!r}; fence it as sh"
        capsys.readouterr()
        code = run(arguments)
        got = capsys.readouterr()
        assert code in (0, 1), got.err
        if expected.strip():
            assert CHECKER.check_output(expected, got.out, FLAGS), f"$ {typed}\n{got.out}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page(page, tmp_path, monkeypatch, capsys):
    for library in LIBRARIES.get(page.name, ()):
        pytest.importorskip(library)
    for example in ROOT.glob("examples/*.py"):
        shutil.copy(example, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    if page.name in COLUMNS:
        monkeypatch.setenv("COLUMNS", COLUMNS[page.name])
    namespace = {"__name__": "__main__"}
    for language, code, line in blocks(page.read_text(encoding="utf-8")):
        if language == "python":
            run_python(code, line, page, namespace)
        elif language == "console":
            run_console(code, capsys)


def test_the_files_that_docs_show_are_the_files():
    shown = [code for _, code, _ in blocks((ROOT / "docs" / "own-model.md").read_text(encoding="utf-8"))]
    for name in ("own_model.py", "own_rule.py"):
        assert (ROOT / "examples" / name).read_text(encoding="utf-8") in shown


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_a_wrong_example_is_found(tmp_path):
    with pytest.raises(AssertionError, match="Expected"):
        run_python(">>> 1 + 1\n3\n", 1, tmp_path / "page.md", {})
    with pytest.raises(ZeroDivisionError):
        run_python("1 / 0\n", 1, tmp_path / "page.md", {})


def test_a_wrong_console_line_is_found(capsys):
    with pytest.raises(AssertionError, match="surefoot"):
        run_console("$ surefoot --version\nsurefoot of another version\n", capsys)
    with pytest.raises(AssertionError, match="only the surefoot command"):
        run_console("$ rm something\n", capsys)
