"""The photograph as a target, and images from files."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.targets._deblur import deblur_target, gaussian_kernel, write_png

pytest.importorskip("skimage")


def test_the_camera_is_recovered():
    target = deblur_target()
    assert target.name == "deblur, camera, sigma 3, noise 0.01"
    assert target.describe()["PSNR"] == "23.01 dB"
    run = sf.descend(target.problem, target.start, rule=sf.rules.Auto(), steps=50, callback=target.enough)
    assert target.psnr(run.x) >= 25.6
    assert target.psnr(target.truth) == np.inf
    assert target.global_curvature().products == 0


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_an_image_from_a_file(tmp_path, shape):
    image = np.random.default_rng(0).uniform(0, 1, shape)
    write_png(tmp_path / "one.png", image)
    target = deblur_target(tmp_path / "one.png", sigma=1.0)
    assert target.deblurring.shape == shape
    np.testing.assert_allclose(target.deblurring.as_image(target.start), image, atol=0.5 / 255 + 1e-9)
    assert target.deblurring.noise_is == "estimated"
    assert np.isnan(target.psnr(target.start))
    assert "PSNR" not in target.describe()


def test_transparency_is_left_out(tmp_path):
    image = np.random.default_rng(0).uniform(0, 1, (8, 8, 4))
    write_png(tmp_path / "one.png", image)
    assert deblur_target(tmp_path / "one.png", sigma=0.5).deblurring.shape == (8, 8, 3)


def test_the_kernel_sums_to_one():
    assert gaussian_kernel(3.0).shape == (25, 25)
    assert gaussian_kernel(0.1).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: deblur_target(p / "none.png"), "cannot read"),
        (lambda p: deblur_target(sigma=0), "sigma must be positive"),
        (lambda p: deblur_target(noise=-1), "noise must be finite"),
        (lambda p: write_png(p / "no" / "folder.png", np.zeros((2, 2))), "cannot write"),
    ],
)
def test_bad_input_is_refused_with_the_reason(tmp_path, make, message):
    with pytest.raises(InvalidInput, match=message):
        make(tmp_path)


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(InvalidInput, match="cannot read"):
        deblur_target(tmp_path / "text.png")
