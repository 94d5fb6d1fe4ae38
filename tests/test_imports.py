"""What `import surefoot` may cost: nothing that is not used yet, and nothing ever that is only needed by some."""

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
    assert sorted(loaded & set(HEAVY) - set(allowed)) == []


def test_nothing_slow_is_loaded_before_an_interrupt_is_caught():
    code = "import sys; old = set(sys.modules); import surefoot.cli; print(*set(sys.modules) - old); raise SystemExit"
    assert not {"typing", "contextlib", "re", "surefoot.errors"} & set(loaded_after(code))


def test_torch_is_loaded_with_training():
    pytest.importorskip("torch")
    assert "torch" in loaded_after("import surefoot.training")


def test_rooms_are_loaded_when_they_are_used():
    loaded = loaded_after("import surefoot; surefoot.__version__; dir(surefoot)")
    assert "numpy" not in loaded
    assert [name for name in loaded if name.startswith("surefoot.")] == []
    assert "surefoot.stability" in loaded_after("import surefoot; surefoot.limits")


def test_a_name_that_is_not_there():
    import surefoot

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = surefoot.nothing
