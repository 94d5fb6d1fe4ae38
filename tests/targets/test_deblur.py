"""The photograph as a target, images from files, and the picture before and after a run."""

import io

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.problems import Deblurring
from surefoot.targets import resolve
from surefoot.targets.deblur import DeblurTarget, deblur_target, gaussian_kernel
from surefoot.targets.images import read_image, shrink, write_png
from surefoot.targets.restoration import beyond, restoration
from surefoot.trials import race

pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def small():
    """A picture of 48 x 40 with its truth."""
    i, j = np.indices((48, 40)) / 48
    truth = 0.3 + 0.4 * ((i - 0.5) ** 2 + (j - 0.4) ** 2 < 0.06)
    kernel = gaussian_kernel(1.5)
    observed = sf.operators.convolution(kernel, truth.shape, "reflect").matvec(truth.ravel()).reshape(truth.shape)
    observed += 0.01 * np.random.default_rng(0).standard_normal(truth.shape)
    return DeblurTarget(Deblurring(observed, kernel, noise=0.01), "small", truth)


def test_the_camera_is_recovered():
    (target,) = resolve("deblur")
    assert target.name == "deblur, camera, sigma 3, noise 0.01"
    assert target.describe()["PSNR"] == "23.01 dB"
    run = sf.descend(target.problem, target.start, rule=sf.rules.Auto(), steps=50, callback=target.enough)
    assert target.psnr(run.x) >= 25.6
    assert run.evaluations <= 15
    assert target.psnr(target.truth) == np.inf
    assert target.global_curvature().products == 0


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_an_image_from_a_file(tmp_path, shape, suffix):
    image = np.random.default_rng(0).uniform(0, 1, shape)
    path = tmp_path / f"one.{suffix}"
    write_png(path, image) if suffix == "png" else np.save(path, image)
    target = deblur_target(path, sigma=1.0)
    assert target.deblurring.shape == shape
    np.testing.assert_allclose(target.deblurring.as_image(target.start), image, atol=0.5 / 255 + 1e-9)
    assert target.deblurring.noise_is == "estimated"
    assert np.isnan(target.psnr(target.start))
    assert "PSNR" not in target.describe()
    assert deblur_target(path, sigma=1.0, noise=0.02).describe()["noise"] == "0.02 (given)"


def test_transparency_is_left_out(tmp_path):
    image = np.random.default_rng(0).uniform(0, 1, (8, 8, 4))
    write_png(tmp_path / "one.png", image)
    assert deblur_target(tmp_path / "one.png", sigma=0.5).deblurring.shape == (8, 8, 3)


def test_bits_and_palettes_and_turned_photographs(tmp_path):
    from PIL import Image

    ramp = np.linspace(0, 1, 96).reshape(8, 12)
    Image.fromarray(np.round(65535 * ramp).astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_allclose(read_image(tmp_path / "deep.png"), ramp, atol=1e-5)
    np.save(tmp_path / "bits.npy", ramp > 0.5)
    np.testing.assert_array_equal(read_image(tmp_path / "bits.npy"), ramp > 0.5)
    picture = Image.fromarray(np.round(255 * ramp).astype(np.uint8))
    picture.convert("P").save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (8, 12, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png").shape == (12, 8)


def test_the_noise_of_a_jpeg_is_not_missed(tmp_path):
    """The finest detail, where the estimate looks, is what the format leaves out."""
    from PIL import Image

    rng = np.random.default_rng(0)
    clean = sf.operators.convolution(gaussian_kernel(2.0), (96, 96), "reflect").matvec(
        np.kron(rng.uniform(0.2, 0.8, (6, 6)), np.ones((16, 16))).ravel()
    )
    noisy = clean.reshape(96, 96) + 0.02 * rng.standard_normal((96, 96))
    Image.fromarray(np.round(255 * noisy).astype(np.uint8)).save(tmp_path / "photo.jpg", quality=75)
    target = deblur_target(tmp_path / "photo.jpg", sigma=2.0)
    left = float(np.std(target.deblurring.data - clean))
    assert sf.problems.noise_level(read_image(tmp_path / "photo.jpg")) < 0.75 * left
    assert left < target.deblurring.noise < 1.6 * left


def test_the_kernel_sums_to_one():
    assert gaussian_kernel(3.0).shape == (25, 25)
    assert gaussian_kernel(0.1).sum() == pytest.approx(1)


def test_shrinking_takes_means():
    image = np.arange(35.0).reshape(5, 7)
    np.testing.assert_allclose(shrink(image, 2)[0, 0], image[:2, :2].mean())
    assert shrink(image, 2).shape == (2, 3)
    assert shrink(image[..., None] * np.ones(3), 3).shape == (1, 2, 3)
    np.testing.assert_array_equal(shrink(image, 1), image)
    assert shrink(image, 100) == pytest.approx(image.mean())


def test_what_happens_above_the_limit_is_what_is_predicted(small):
    told = []
    tried = beyond(small, progress=lambda done, total, label, left: told.append(done))
    assert tried.limit == pytest.approx(2.0)
    assert tried.predicted == pytest.approx(1.04**2)
    assert tried.observed == pytest.approx(tried.predicted, rel=0.01)
    assert tried.losses_below[-1] < 0.2 * tried.losses_below[0]
    assert np.abs(tried.picture_above).max() > 2
    assert np.abs(tried.picture_below).max() < 1.5
    assert told == sorted(told)


def test_before_and_after(small):
    run = sf.descend(small.problem, small.start, rule=sf.rules.Auto(), callback=small.enough)
    found = restoration(small, run)
    assert found.enough
    assert found.psnr[1] > found.psnr[0] + 1
    assert f"PSNR {found.psnr[0]:.2f} dB before, {found.psnr[1]:.2f} dB after" in str(found)
    record = found.to_dict()
    assert set(record["pictures"]) == {"before", "after", "truth"}
    from base64 import b64decode

    from PIL import Image

    with Image.open(io.BytesIO(b64decode(record["pictures"]["after"]))) as picture:
        np.testing.assert_allclose(np.asarray(picture) / 255, np.clip(found.after, 0, 1), atol=0.5 / 255 + 1e-9)
    short = sf.descend(small.problem, small.start, rule=sf.rules.Auto(), steps=1)
    assert "still above the noise" in str(restoration(small, short))


def test_an_image_without_blur_is_left_as_it_is(tmp_path):
    write_png(tmp_path / "noise.png", 0.5 + 0.1 * np.random.default_rng(0).standard_normal((32, 32)))
    target = deblur_target(tmp_path / "noise.png", sigma=1.0)
    run = sf.descend(target.problem, target.start, rule=sf.rules.Auto(), callback=target.enough)
    assert "left as it is" in str(restoration(target, run))


def test_a_race_is_over_at_the_noise(small):
    found = race(small.problem, ["auto", "fista"], x0=small.start, goal=small.goal, steps=200)
    assert found.least.value == small.goal
    assert "(given)" in str(found)
    assert all(entry.final == 0 and entry.gradients < 100 for entry in found.entries)
    with pytest.raises(InvalidInput, match="at the goal"):
        race(small.problem, ["auto"], x0=small.start, goal=1e9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: deblur_target(p / "none.png"), "cannot read .*No such file"),
        (lambda p: deblur_target(p), "cannot read .*directory"),
        (lambda p: deblur_target(p / "none.npy"), "no such file"),
        (lambda p: deblur_target(sigma=0), "sigma must be positive"),
        (lambda p: deblur_target(sigma=1e9), "give at most 128"),
        (lambda p: deblur_target(noise=-1), "noise must be finite"),
        (lambda p: write_png(p / "no" / "folder.png", np.zeros((2, 2))), "cannot write"),
    ],
)
def test_bad_input_is_refused_with_the_reason(tmp_path, make, message):
    with pytest.raises(sf.SurefootError, match=message):
        make(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((5, 5), np.nan), "NaN"),
        (np.full((5, 5), 0.5), "a constant 0.5"),
        (200 * np.eye(5), "divide them by white"),
        (np.arange(25).reshape(5, 5), "white is not known"),
        (np.zeros((2, 3, 4, 5)), "has shape"),
        (np.zeros(5), "has shape"),
        (np.zeros((0, 5)), "has shape"),
        (np.eye(5, dtype=complex), "white is not known"),
        (np.array([[{}]]), "pickled"),
    ],
)
def test_an_array_that_is_no_image(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InvalidInput, match=message):
        deblur_target(tmp_path / "a.npy", sigma=0.5)


@pytest.mark.parametrize("content", [b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40), b""])
def test_a_file_that_is_no_image(tmp_path, content):
    (tmp_path / "text.png").write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot read"):
        deblur_target(tmp_path / "text.png")


def test_a_picture_cut_short(tmp_path):
    write_png(tmp_path / "whole.png", np.random.default_rng(0).uniform(size=(40, 40)))
    (tmp_path / "part.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    with pytest.raises(InvalidInput, match="cannot read"):
        read_image(tmp_path / "part.png")
