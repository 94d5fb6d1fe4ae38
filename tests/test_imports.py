"""What `import surefoot` may cost: NumPy, and nothing that is only needed by some."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "matplotlib",
    "jinja2",
    "typer",
    "rich",
    "sklearn",
    "skimage",
    "pylops",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.stats",
)


def loaded_after(code):
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import surefoot", ()),
        ("import surefoot.cli", ()),
        ("import surefoot; surefoot.limits([[2.0, 1.0], [1.0, 3.0]])", ("scipy.linalg", "scipy.sparse")),
        ("from surefoot.cli import run; run(['list'])", ("typer", "rich")),
    ],
    ids=["library", "command", "limits", "list"],
)
def test_only_what_is_needed_is_loaded(code, allowed):
    loaded = set(loaded_after(code))
    assert "numpy" in loaded
    assert sorted(loaded & set(HEAVY) - set(allowed)) == []


def test_torch_is_loaded_with_training():
    pytest.importorskip("torch")
    assert "torch" in loaded_after("import surefoot.training")
