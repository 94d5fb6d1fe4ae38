"""Images in and out: grey levels or colours in [0, 1]."""

import base64
import io
import struct
import warnings
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.checks import as_path
from surefoot.errors import InvalidInput, MissingExtra, SurefootError
from surefoot.operators import Array
from surefoot.targets._formats import read_content

__all__ = ["as_base64", "depth_of", "read_image", "shrink", "write_png"]

# The level of white in 8 bits, and by the type of the levels.
WHITE = 255.0
WHITES = {"bool": 1.0, "uint8": WHITE, "uint16": 65535.0}
# Floating-point levels may leave [0, 1] by this much, because of noise; beyond, they are in another unit.
MARGIN = 0.5
# Channels of a picture in colour; also the number of axes of its array.
COLOURS = 3
# What is opened, by its content and not by its name: Pillow would hand others to programs, such as PostScript's.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "WEBP")
# By convention: as float64 such an image takes 400 MB in grey, and its deblurring a few times that.
MOST_PIXELS = 50_000_000
# Bits of each level that PNG can hold.
DEEP, SHALLOW = 16, 8


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
    path = as_path(path)
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


def depth_of(path: str | Path) -> int:
    """Bits of each level in an image file: 16, or 8; floating-point levels count as 16.

    Raises
    ------
    InvalidInput
        If it cannot be read as an image.
    MissingExtra
        If Pillow is needed and not installed.
    """
    return SHALLOW if _levels(as_path(path)).dtype.name in ("bool", "uint8") else DEEP


def write_png(path: str | Path, image: Array, depth: int = SHALLOW) -> None:
    """Write an image with values in [0, 1] as PNG of 8 or 16 bits; values outside are clipped.

    Parameters
    ----------
    path : path
    image : array, shape (rows, columns) or (rows, columns, 3)
    depth : int
        8 or 16 bits a level.

    Raises
    ------
    InvalidInput
        If the file cannot be written.
    MissingExtra
        If Pillow, which comes with scikit-image, is not installed.
    """
    content = _png(image) if depth == SHALLOW else _deep_png(image)
    try:
        as_path(path).write_bytes(content)
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


def shrink(image: Array, block: int) -> Array:
    """The means over squares of `block` pixels a side; an incomplete last one is left out."""
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
        raise MissingExtra(
            "images come with scikit-image, which is not installed; pip install '.[data]' in a checkout of Surefoot"
        ) from (error)


def _png(image: Array) -> bytes:
    levels = np.round(WHITE * np.clip(image, 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    pillow("PIL.Image").fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()


def _deep_png(image: Array) -> bytes:
    """PNG of 16 bits, grey or colour, which Pillow writes in grey only (PNG specification, sections 5 and 11)."""
    levels = np.round(WHITES["uint16"] * np.clip(image, 0, 1)).astype(">u2")
    rows, columns = levels.shape[:2]
    kind = 2 if levels.ndim == COLOURS else 0
    lines = b"".join(b"\0" + line.tobytes() for line in levels)  # each line begins with its filter: none
    header = struct.pack(">IIBBBBB", columns, rows, DEEP, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _levels(path: Path) -> Any:
    """What the file holds, whatever its type and channels.

    Raises
    ------
    InvalidInput
        If it cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return np.asarray(read_content(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InvalidInput(f"{path} is not a regular file; give a PNG, JPEG or TIFF file, or a .npy array")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, on what is odd in a file; the bounds are ours
            return _decode(path)
    except SurefootError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise errors of many kinds
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidInput(
            f"cannot read {path} as an image: {reason}; give a PNG, JPEG or TIFF file, or a .npy array"
        ) from error


def _decode(path: Path) -> Any:
    """Its pixels by Pillow; sizes and pages are looked at before any is decoded."""
    with pillow("PIL.Image").open(path, formats=FORMATS) as picture:
        if picture.size[0] * picture.size[1] > MOST_PIXELS:
            raise InvalidInput(
                f"{path} has {picture.size[0]} x {picture.size[1]} pixels, and at most {MOST_PIXELS:,} are read; cut a "
                "part out of it"
            )
        pages = getattr(picture, "n_frames", 1)
        if pages > 1:
            raise InvalidInput(f"{path} holds {pages} pages or frames; save the one that is meant by itself")
        upright = pillow("PIL.ImageOps").exif_transpose(picture)
        # palettes and print colours become light
        return np.asarray(upright.convert("RGB") if upright.mode in ("P", "PA", "CMYK", "YCbCr") else upright)
