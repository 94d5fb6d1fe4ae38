"""Images in and out: grey levels or colours in [0, 1]."""

import base64
import io
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.operators import Array
from surefoot.targets._formats import read_content

__all__ = ["as_base64", "read_image", "shrunk", "write_png"]

WHITE = 255.0
WHITES = {"bool": 1.0, "uint8": WHITE, "uint16": 65535.0}
# Floating-point levels may leave [0, 1] by so much, as noise does; beyond it they are in another unit.
MARGIN = 0.5
COLOURS = 3


def read_image(path: str | Path) -> Array:
    """The levels of an image file, in [0, 1].

    Parameters
    ----------
    path : path
        A PNG, JPEG or TIFF file, turned upright and without its transparency, or a .npy array of shape (rows, columns)
        or (rows, columns, 3): integers of 8 or 16 bits, or levels in [0, 1] that noise may exceed.

    Returns
    -------
    array, shape (rows, columns) or (rows, columns, 3)

    Raises
    ------
    InvalidInput
        If it is not such a file.
    MissingExtra
        If Pillow, which comes with scikit-image, is not installed; a .npy file does without.
    """
    path = Path(path)
    levels = _levels(path)
    if levels.ndim == COLOURS and levels.shape[2] in (2, 4):
        levels = levels[..., :-1]
    if levels.ndim == COLOURS and levels.shape[2] == 1:
        levels = levels[..., 0]
    if levels.size == 0 or levels.ndim not in (2, 3) or levels.shape[2:] not in ((), (COLOURS,)):
        raise InvalidInput(f"{path} has shape {levels.shape}; an image is (rows, columns) or (rows, columns, 3)")
    if levels.dtype.name in WHITES:
        return levels.astype(np.float64) / WHITES[levels.dtype.name]
    if levels.dtype.kind == "f" and not np.isfinite(levels).all():
        raise InvalidInput(f"{path} holds NaN or infinity; replace such pixels by their neighbours")
    if levels.dtype.kind != "f":
        raise InvalidInput(
            f"{path} holds {levels.dtype}, of which white is not known; give 8 or 16 bits, or levels in [0, 1]"
        )
    low, high = float(levels.min()), float(levels.max())
    if not -MARGIN <= low <= high <= 1 + MARGIN:
        raise InvalidInput(f"{path} holds levels from {low:.4g} to {high:.4g}; divide them by white, so that it is 1")
    return levels.astype(np.float64)


def write_png(path: str | Path, image: Array) -> None:
    """Write an image with values in [0, 1] as PNG of 8 bits; values outside are clipped.

    Raises
    ------
    InvalidInput
        If the file cannot be written.
    MissingExtra
        If Pillow, which comes with scikit-image, is not installed.
    """
    content = _png(image)
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise InvalidInput(
            f"cannot write {path}: {error.strerror or error}; give a path in a folder that exists"
        ) from error


def as_base64(image: Array) -> str:
    """The PNG of an image, as text for a record.

    Raises
    ------
    MissingExtra
        If Pillow is not installed.
    """
    return base64.b64encode(_png(image)).decode("ascii")


def shrunk(image: Array, block: int) -> Array:
    """The means over squares of so many pixels a side; an incomplete last one is left out."""
    rows, columns = (max(n // block, 1) for n in image.shape[:2])
    high, wide = (min(block, n) for n in image.shape[:2])
    kept = image[: rows * high, : columns * wide]
    return kept.reshape(rows, high, columns, wide, *image.shape[2:]).mean(axis=(1, 3))


def pillow(name: str) -> Any:
    """A module of Pillow.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra("images come with scikit-image, which is not installed; pip install 'surefoot[data]'") from (
            error
        )


def _png(image: Array) -> bytes:
    levels = np.round(WHITE * np.clip(image, 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    pillow("PIL.Image").fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()


def _levels(path: Path) -> Any:
    """What the file holds, whatever its type and channels.

    Raises
    ------
    InvalidInput
        If it cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return np.asarray(read_content(path))
    library = pillow("PIL.Image")
    try:
        with library.open(path) as picture:
            upright = pillow("PIL.ImageOps").exif_transpose(picture)
            # palettes and print colours become light
            return np.asarray(upright.convert("RGB") if upright.mode in ("P", "PA", "CMYK", "YCbCr") else upright)
    except (OSError, ValueError, SyntaxError, library.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidInput(
            f"cannot read {path} as an image: {reason}; give a PNG, JPEG or TIFF file, or a .npy array"
        ) from error
