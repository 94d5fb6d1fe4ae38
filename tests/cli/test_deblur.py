"""Pictures from the command: `run deblur`, `race deblur` and what may be wrong with an image."""

import json

import numpy as np
import pytest

import surefoot as sf
from surefoot.targets.deblur import gaussian_kernel
from surefoot.targets.images import read_image, write_png

pytest.importorskip("PIL")


@pytest.fixture
def photo(here):
    """A blurred and noisy picture in colour, in the current folder."""
    i, j = np.indices((40, 48)) / 48
    truth = np.stack([0.3 + 0.4 * ((i - s) ** 2 + (j - 0.5) ** 2 < 0.05) for s in (0.3, 0.4, 0.5)], axis=-1)
    blur = sf.operators.convolution(gaussian_kernel(1.5)[..., None], truth.shape, "reflect")
    observed = blur.matvec(truth.ravel()).reshape(truth.shape)
    write_png(here / "photo.png", observed + 0.01 * np.random.default_rng(0).standard_normal(truth.shape))
    return truth


def test_a_photograph_before_and_after(command, photo, tmp_path):
    arguments = ("--image", "photo.png", "--sigma", "1.5", "--output", "out.png", "--report", "out.html")
    code, out, err = command("run", "deblur", *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("good: reached its goal, loss ")
    assert "  for deblur, photo.png, sigma 1.5: auto\n" in out
    assert "the residual is down to the noise of 0.0" in out
    assert "at 1.02 times the limit 2 gradient descent from black multiplies the loss by 1.0" in out
    assert f"picture: {tmp_path / 'out.png'}" in out
    before, after = read_image("photo.png"), read_image("out.png")
    assert np.mean((after - photo) ** 2) < 0.8 * np.mean((before - photo) ** 2)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,iVBOR') == 4


def test_the_record_has_the_pictures(command, photo):
    code, out, err = command("run", "deblur", "--image", "photo.png", "--sigma", "1.5", "--json", "--output", "o.png")
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert code == 0
    assert record["descent"]["stopped"] == "reached its goal"
    assert record["restoration"]["psnr"] is None
    assert record["restoration"]["shape"] == [40, 48, 3]
    assert set(record["restoration"]["pictures"]) == {"before", "after"}
    assert err.startswith("picture: ")


def test_a_race_to_the_noise(command, photo):
    code, out, _ = command("race", "deblur", "--image", "photo.png", "--sigma", "1.5", "--rules", "auto,fista")
    assert code == 0
    assert "(given)" in out
    assert out.count(" good") == 4


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--image", "none.png"), "cannot read none.png as an image: No such file or directory", "give a PNG"),
        (("--image", "text.png"), "cannot read text.png as an image", "give a PNG, JPEG or TIFF file, or a .npy array"),
        (("--image", "photo.png", "--sigma", "0"), "sigma must be positive", ""),
        (("--image", "photo.png", "--sigma", "99"), "sigma=99 reaches", "give at most 10"),
        (("--image", "photo.png", "--noise", "nan"), "noise must be finite", ""),
        (("--output", "out.jpg"), "--output writes PNG", "out.png"),
        (("--output", "no/out.png"), "there is no folder", "create it"),
    ],
)
def test_bad_pictures_are_said_in_a_line(command, photo, tmp_path, arguments, message, hint):
    (tmp_path / "text.png").write_text("not an image")
    code, out, err = command("run", "deblur", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert hint in err
    assert "Traceback" not in err


def test_options_of_deblur_are_refused_elsewhere(command):
    for option, value in (("--image", "a.png"), ("--sigma", "2"), ("--noise", "0.1")):
        code, _, err = command("race", "quadratic", option, value)
        assert code == 2
        assert f"{option} is an option of deblur" in err
    assert command("run", "quadratic", "--output", "a.png")[0] == 2
