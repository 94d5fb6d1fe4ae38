"""What is shipped: the wheel, the source archive, and what they say of themselves."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import surefoot as sf

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What the library needs; a plain install has no more.
PLAIN = {re.split(r"[<>=]", line)[0] for line in PROJECT["dependencies"]}
OPTIONAL = ("torch", "typer", "rich", "jinja2", "matplotlib", "sklearn", "skimage", "PEPit", "pandas", "pylops")


def python(*arguments, **options):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-d", str(folder), cwd=ROOT)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def test_the_wheel_has_every_file_and_nothing_else(built):
    wheel, _ = built
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "surefoot").rglob("*") if p.is_file()}
    assert shipped == {name for name in there if "__pycache__" not in name}
    assert "surefoot/py.typed" in shipped


def test_the_source_archive_makes_the_same_wheel(built, tmp_path):
    wheel, source = built
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        # Python knows filters from 3.11.4 on
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    assert {"LICENSE", "README.md", "CITATION.cff", "CHANGELOG.md", "constraints.txt", "tests/conftest.py"} <= names
    (unpacked,) = tmp_path.iterdir()
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), cwd=unpacked)
    (again,) = (tmp_path / "dist").glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_the_first_block_of_the_readme_runs_on_an_installed_wheel(built, tmp_path):
    wheel, _ = built
    assert {"numpy", "scipy", "array-api-compat"} == PLAIN
    site = tmp_path / "site"
    python("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    block = (ROOT / "README.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    code = f"import sys\nfor name in {OPTIONAL!r}:\n    sys.modules[name] = None\n{block}\nprint(sf.__file__)"
    said = python("-c", code, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)})
    assert Path(said.splitlines()[-1]).is_relative_to(site)


def test_one_version_and_one_name_of_the_authors():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert PROJECT["version"] == sf.__version__
    (author,) = PROJECT["authors"]
    assert f'- name: "{author["name"]}"' in citation
    assert f"\nlicense: {PROJECT['license']}\n" in citation


def test_hints_name_what_a_checkout_can_do():
    hint = re.compile(r"pip install '?([\w.-]*)\[")
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for name in hint.findall(path.read_text(encoding="utf-8")):
            assert name == ".", f"{path}: pip install {name}[...] needs an index that has it"


def test_mutants_that_are_called_equivalent_are_of_lines_that_exist():
    text = (ROOT / "tools" / "equivalent_mutants.toml").read_text(encoding="utf-8")
    for mutant in tomllib.loads(text)["mutant"]:
        lines = (ROOT / mutant["file"]).read_text(encoding="utf-8").splitlines()
        assert mutant["before"] in lines, mutant
        assert mutant["why"]
