"""Hostile files: each is one line and a hint, in bounded memory, without a crash of compiled code."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from surefoot.errors import InvalidInput
from surefoot.targets._files import load_matrix
from surefoot.targets.images import depth_of, read_image, write_png


def refused(path, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        load_matrix(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


MARKET = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MARKET + "2 2 1\n1 1 1.5D+03\n", r"line 3: '1.5D\+03' is no number; write it as 1.5e\+03"),
        (MARKET + "2 2 1\n1 1 2,75\n", "line 3: '2,75' is no number"),
        (MARKET + "2 2 1\n1 1 1.0 7\n", "line 3: expected 3 numbers, got 4"),
        (MARKET + "2 2 1\n0 1 1.0\n", r"line 3: index '0' is not in 1\.\.2"),
        (MARKET + "2 2 1\n1 3 1.0\n", r"line 3: index '3' is not in 1\.\.2"),
        (MARKET + "2 2 1\n-1 1 1.0\n", "index '-1'"),
        (MARKET + "2 2 1\n1.5 1 1.0\n", "index '1.5'"),
        (MARKET + "2 2 2\n1 1 1.0\n", "declares 2 entries and has 1"),
        (MARKET + "2 2 1\n1 1 1.0\n2 2 1.0\n", "declares 1 entries and has 2"),
        (MARKET + "2 2\n", "expected 3 sizes"),
        (MARKET + "2 2 99999999999999999999\n", "expected 3 sizes"),
        (MARKET + "1000000000 1000000000 1\n1 1 1.0\n", "declares 59.6 GB, and at most 2 GB are read"),
        (MARKET + "2 2 1\n1 1 1\0.0\n", "is no number"),
        (MARKET, "expected 3 sizes"),
        ("%%MatrixMarket matrix array real general\n100000 100000\n1\n", "declares 149 GB"),
        ("%%MatrixMarket matrix coordinate quaternion general\n1 1 1\n1 1 1\n", "unknown kind of matrix"),
        ("%%MatrixMarket vector\n", "no header"),
    ],
)
def test_lines_of_a_market_file_are_checked(tmp_path, text, message):
    path = tmp_path / "m.mtx"
    path.write_text(text)
    refused(path, message)


@pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
@pytest.mark.parametrize("sparse", [True, False])
def test_what_scipy_writes_is_read(tmp_path, symmetry, sparse):
    matrix = np.array([[2.0, -1.5e-300, 0.0], [-1.5e-300, 3.0, 1e12], [0.0, 1e12, -4.0]])
    if symmetry == "skew-symmetric":
        matrix = np.triu(matrix, 1) - np.triu(matrix, 1).T
    written = scipy.sparse.coo_array(matrix) if sparse else matrix
    scipy.io.mmwrite(tmp_path / "m.mtx", written, symmetry=symmetry, comment="one\ntwo")
    found = load_matrix(tmp_path / "m.mtx")
    np.testing.assert_allclose(found.toarray() if scipy.sparse.issparse(found) else found, matrix, rtol=1e-14)


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


CSR = {
    "format": np.array("csr"),
    "shape": np.array([3, 3]),
    "data": np.ones(3),
    "indices": np.array([0, 1, 2]),
    "indptr": np.array([0, 1, 2, 3]),
}
COO = {**{key: CSR[key] for key in ("shape", "data")}, "format": np.array("coo")}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (CSR | {"indices": np.array([0, 1, 10**9])}, r"an index is not in 0\.\.2"),
        (CSR | {"indices": np.array([0, 1, -1])}, r"an index is not in 0\.\.2"),
        (CSR | {"indptr": np.array([0, 1, 2, 10**9])}, "pointers do not rise"),
        (CSR | {"indptr": np.array([0, 3, 1, 3])}, "pointers do not rise"),
        (CSR | {"indptr": np.array([0, 3])}, "differ in length"),
        (CSR | {"indices": np.array([0.0, 1.0, 2.0])}, "not whole numbers"),
        (CSR | {"data": np.array(["a", "b", "c"])}, "not numbers"),
        (CSR | {"shape": np.array([10**9, 10**9])}, "declares 59.6 GB"),
        (CSR | {"shape": np.array([3])}, "shape is not two sizes"),
        (CSR | {"format": np.array("xyz")}, "save it as matrix.tocsr"),
        (COO | {"row": np.array([0, 1, 7]), "col": np.array([0, 1, 2])}, r"an index is not in 0\.\.2"),
        (COO | {"row": np.array([0, 1]), "col": np.array([0, 1, 2])}, "differ in length"),
    ],
)
def test_the_structure_of_a_sparse_archive_is_checked(tmp_path, arrays, message):
    refused(archive(tmp_path / "m.npz", **arrays), message)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_archives_of_each_kind_are_read(tmp_path, kind):
    matrix = scipy.sparse.random_array((20, 13), density=0.2, rng=0, format=kind)
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix)
    np.testing.assert_array_equal(load_matrix(tmp_path / "m.npz").toarray(), matrix.toarray())


def header(shape, descr="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_a_header_that_promises_more_than_there_is(tmp_path):
    path = tmp_path / "m.npy"
    path.write_bytes(header((1000, 1000)) + b"\0" * 80)
    refused(path, r"cannot be read \(its header promises 8,000,000 bytes and there are 80\)")
    path.write_bytes(header((10**6, 10**6)) + b"\0" * 80)
    refused(path, "at most 2 GB are read")


def test_an_archive_that_unpacks_to_more_than_is_read(tmp_path, monkeypatch):
    from surefoot.targets import _structure

    monkeypatch.setattr(_structure, "MOST_BYTES", 2**24)
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("A.npy", header((4_000_000,)) + b"\0" * 32_000_000)
    assert path.stat().st_size < 100_000
    refused(path, "declares 0.0298 GB")


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("A.txt", "1 2")
    refused(path, "A.txt in it is no array")


def test_tables_with_comments_an_index_and_packed_ones(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# made on Monday\n,a,b\n0,2,1\n1,1,3\n")
    np.testing.assert_array_equal(load_matrix(path), [[2, 1], [1, 3]])
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(b"\x1f\x8b")
    refused(packed, "is packed; unpack it first")


# images


def deep(path, levels):
    """A PNG of 16 bits by Pillow, which others read."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(levels.astype(np.uint16)).save(path)
    return path


def test_sixteen_bits_in_are_sixteen_bits_out(tmp_path):
    image = pytest.importorskip("PIL.Image")
    levels = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # 12 bits, as cameras write them
    path = deep(tmp_path / "in.png", levels)
    assert depth_of(path) == 16
    write_png(tmp_path / "out.png", read_image(path), depth_of(path))
    with image.open(tmp_path / "out.png") as picture:
        assert len(np.unique(np.asarray(picture))) == 4096
        np.testing.assert_array_equal(np.asarray(picture), levels)
    colours = np.stack([levels, levels[::-1], levels.T], axis=-1) / 65535
    write_png(tmp_path / "colour.png", colours, 16)
    raw = (tmp_path / "colour.png").read_bytes()
    assert struct.unpack(">IIBB", raw[16:26]) == (64, 64, 16, 2)
    lines = zlib.decompress(raw[raw.index(b"IDAT") + 4 : raw.index(b"IEND") - 8])
    found = np.frombuffer(lines, dtype=np.uint8).reshape(64, -1)[:, 1:].copy().view(">u2").reshape(64, 64, 3)
    np.testing.assert_array_equal(found, np.round(65535 * colours))


def test_images_of_other_kinds_are_refused_by_name(tmp_path):
    import os

    image = pytest.importorskip("PIL.Image")
    page = image.fromarray(np.zeros((4, 4), np.uint8))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    with pytest.raises(InvalidInput, match="holds 3 pages or frames; save the one that is meant"):
        read_image(tmp_path / "pages.tif")
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n")
    with pytest.raises(InvalidInput, match="as an image"):
        read_image(tmp_path / "a.eps")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidInput, match="not a regular file"):
        read_image(tmp_path / "pipe.png")
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)), (b"IEND", b"")):
        bomb += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(InvalidInput, match=r"pixels|as an image"):
        read_image(tmp_path / "bomb.png")
