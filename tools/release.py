"""What would be published, tried as a stranger gets it: built, checked, installed into environments with nothing else.

    python tools/release.py             # wheel and source archive into dist/
    python tools/release.py --out DIR   # or elsewhere

Each archive is installed twice: alone, where the README's first example has to run with NumPy, SciPy and
array-api-compat, and the command has to say what it lacks; and with the extra `cli`, where the command has to work
without PyTorch.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Built and checked by these, in an environment of their own.
TOOLS = ("build", "twine")
# What needs no more than the extra `cli`, each with a word that it has to print.
COMMANDS = (("doctor", "no PyTorch"), ("list", "quadratic"), ("advise quadratic", "PROVED"), ("region rk4", "2.785"))


def main() -> int:
    """Exit code 0 when wheel and source archive hold; else the first failure is raised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=Path, default=ROOT / "dist", help="where they are written [dist]")
    folder = parser.parse_args().out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("surefoot-*"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="surefoot-release-") as scratch:
        builder = environment(Path(scratch) / "builder", *TOOLS)
        say(builder, "-m", "build", "--outdir", str(folder), str(ROOT))
        archives = sorted(folder.iterdir())
        say(builder, "-m", "twine", "check", "--strict", *map(str, archives))
        for archive in archives:
            try_out(archive, Path(scratch) / archive.suffix[1:])
            print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB, holds", flush=True)
    return 0


def try_out(archive: Path, folder: Path) -> None:
    """The README's first example and the command, from an archive alone and with the extra `cli`."""
    python = environment(folder, str(archive))
    example = (ROOT / "README.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    say(python, "-c", example, cwd=folder)
    assert "hint: pip install" in say(python, "-m", "surefoot", cwd=folder, code=1)
    say(python, "-m", "pip", "install", "--quiet", f"{archive}[cli]")
    for command, word in COMMANDS:
        assert word in say(python, "-m", "surefoot", *command.split(), cwd=folder), command


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a new environment that has these packages."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    say(python, "-m", "pip", "install", "--quiet", *packages)
    return python


def say(python: Path, *arguments: str, cwd: Path | None = None, code: int = 0) -> str:
    """What it prints; it must end with the code.

    Raises
    ------
    RuntimeError
        If it does not.
    """
    # nothing of this checkout may be found by chance
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd=cwd, env=clean, check=False)
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
