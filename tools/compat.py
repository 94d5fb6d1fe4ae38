"""The tests under every Python that is at hand, each in an environment of its own, from nothing.

    python tools/compat.py                        # python3.11, python3.12, ... as found on the path
    python tools/compat.py --torch 2.6 --keep DIR # with another PyTorch; environments stay in DIR
    python tools/compat.py -- tests/methods       # what follows is given to pytest
    PYENV_VERSION=3.12.1:3.13.0 make compat       # versions that pyenv keeps

The newest versions that pyproject.toml allows are installed, not those of constraints.txt: it is the users' case.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What pyproject.toml declares, and what comes next.
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
TOOLS = ("pytest", "hypothesis", "hatchling", "typing_extensions")


def main() -> int:
    """Exit code 0 when the tests passed under each Python that was found, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="VERSION", help="a version of PyTorch; without it none is installed")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where environments are made, and left")
    parser.add_argument("tests", nargs="*", help="arguments of pytest [all tests]")
    chosen = parser.parse_args()
    found = [name for name in PYTHONS if runs(name)]
    for name in PYTHONS:
        print(f"{name}: {'found' if name in found else 'does not run on this machine, so not tested'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="surefoot-compat-") as scratch:
        folder = chosen.keep or Path(scratch)
        codes = {name: run(name, folder / name, chosen.torch, chosen.tests) for name in found}
    for name, code in codes.items():
        print(f"{name}: {'passed' if code == 0 else f'failed, exit code {code}'}")
    return int(any(codes.values()))


def runs(python: str) -> bool:
    """Whether a Python of this name starts: a version manager puts names on the path that only tell you to choose."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def run(python: str, folder: Path, torch: str | None, tests: list[str]) -> int:
    """The tests' exit code under one Python."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    extras = "cli,report,data,workers" + (",training" if torch else "")
    wanted = [f"{ROOT}[{extras}]", *TOOLS, *([f"torch=={torch}.*"] if torch else [])]
    subprocess.run([inside, "-m", "pip", "install", "--quiet", *wanted], check=True)
    command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tests or ["tests"])]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
