"""The pictures of a deblurring run on its page."""

import base64

import numpy as np
import pytest
from report.pages import without_script

import surefoot as sf
from surefoot.problems import Deblurring
from surefoot.report._write import render
from surefoot.targets.deblur import DeblurTarget, gaussian_kernel
from surefoot.targets.restoration import beyond, restoration
from surefoot.trials import run

pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def record():
    truth = np.kron(np.eye(4), np.ones((8, 8)))
    kernel = gaussian_kernel(1.0)
    observed = sf.operators.convolution(kernel, truth.shape, "reflect").matvec(truth.ravel()).reshape(truth.shape)
    observed += 0.01 * np.random.default_rng(0).standard_normal(truth.shape)
    target = DeblurTarget(Deblurring(observed, kernel, noise=0.01), "a <b>picture</b>", truth)
    made = run(target.problem, x0=target.start, enough=target.enough, name=target.name)
    return made.to_dict() | {"restoration": restoration(target, made.descent, beyond(target)).to_dict()}


def test_pictures_with_their_quality(record):
    page = render(record)
    assert page.count("data:image/png;base64,") == 5
    for value in record["restoration"]["psnr"]:
        assert f"PSNR {value:.4g} dB" in page
    assert "60 steps at 1.02 times the limit" in page
    assert "http" not in page
    assert "<b>picture" not in page
    assert page == render(record)


def test_a_run_without_a_picture_has_none(record):
    assert "<img" not in render({key: value for key, value in record.items() if key != "restoration"})


@pytest.mark.parametrize("content", ["javascript:alert(1)", base64.b64encode(b"<svg>").decode(), '"><script>', ""])
def test_what_is_no_picture_is_left_out(record, content):
    changed = record["restoration"] | {"pictures": {"before": content, "after": content}}
    page = render(record | {"restoration": changed})
    assert page.count("data:image/png") == 2
    assert 'src=""' in page
    assert "<script" not in without_script(page)
