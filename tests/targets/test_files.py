"""Problems from files: what is read, and what is refused with which words."""

import os
import pickle

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from surefoot.errors import InvalidInput, InvalidType, NotFinite, SurefootError, UnknownTarget
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax
from surefoot.targets._files import load_matrix, load_problem

X = np.array([[1.0, 2.0], [3.0, -4.0], [5.0, 0.5], [0.0, 1.0]])
Y = np.array([0.0, 1.0, 0.0, 1.0])
TABLE = np.column_stack([X, Y])
Q = np.array([[2.0, 1.0], [1.0, 3.0]])
HEADER = "mass,length,class\n"
CSV = "\n".join(",".join(f"{cell:g}" for cell in row) for row in TABLE)


@pytest.fixture
def put(tmp_path):
    """Write text, bytes or arrays to a file of that name."""

    def write(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, dict):
            np.savez(path, **content)
        elif path.suffix == ".npz":
            scipy.sparse.save_npz(path, content)
        elif path.suffix == ".mtx":
            scipy.io.mmwrite(path, content)
        else:
            with path.open("wb") as file:
                np.save(file, content)
        return path

    return write


def refused(error, message, path, **options):
    with pytest.raises(error, match=message) as caught:
        load_problem(path, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def same(problem, expected):
    x = np.linspace(-1, 2, expected.size)
    assert type(problem) is type(expected)
    assert problem.name == expected.name
    assert problem.value(x) == pytest.approx(expected.value(x), rel=1e-14)


# ---- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.npy", Q),
        ("m.npy", Q.astype(int)),
        ("M.NPY", Q),
        ("m.npz", {"Q": Q}),
        ("m.npz", {"arr_0": Q}),
        ("m.npz", {"Q": Q, "b": np.zeros(2)}),
        ("m.npz", scipy.sparse.csr_array(Q)),
        ("m.npz", scipy.sparse.coo_matrix(Q)),
        ("m.mtx", scipy.sparse.coo_array(Q)),
        ("m.mtx", Q),
        ("m.csv", "2,1\n1,3\n"),
        ("m.csv", "\ufeff2;1\r\n1;3\r\n\r\n"),
        ("m.csv", "a,b\n2,1\n1,3"),
    ],
)
def test_a_symmetric_matrix_is_a_quadratic(put, name, content):
    path = put(name, content)
    same(load_problem(path, ridge=0.5), Quadratic(Q, ridge=0.5))
    same(load_problem(str(path), loss="quadratic"), Quadratic(Q))
    matrix = load_matrix(path)
    np.testing.assert_array_equal(matrix.toarray() if scipy.sparse.issparse(matrix) else matrix, Q)
    assert matrix.dtype == np.float64


def test_archives_with_two_sides(put):
    same(load_problem(put("p.npz", {"A": X, "b": Y})), LeastSquares(X, Y))
    same(load_problem(put("p.npz", {"A": X, "b": Y}), loss="logistic"), Logistic(X, Y))
    same(load_problem(put("p.npz", {"Q": Q, "b": Y[:2]})), Quadratic(Q, Y[:2]))
    path = put("p.npz", {"X": X, "y": Y, "notes": np.zeros(1)})
    same(load_problem(path, loss="softmax", intercept=True), Softmax(X, Y, intercept=True))
    np.testing.assert_array_equal(load_matrix(path), X)
    text = put("t.npz", {"X": X, "y": np.array(["a", "b", "a", "b"])})
    assert load_problem(text, loss="softmax").classes.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.npy", TABLE),
        ("t.npz", {"data": TABLE}),
        ("t.mtx", scipy.sparse.coo_array(TABLE)),
        ("t.npz", scipy.sparse.csc_array(TABLE)),
        ("t.csv", CSV),
        ("t.csv", HEADER + CSV),
        ("t.csv", (HEADER + CSV).replace(",", "\t")),
    ],
)
@pytest.mark.parametrize(
    ("loss", "model"), [("least-squares", LeastSquares), ("logistic", Logistic), ("softmax", Softmax)]
)
def test_the_last_column_is_the_label(put, name, content, loss, model):
    path = put(name, content)
    same(load_problem(path, loss=loss, ridge=0.1, intercept=True), model(X, Y, ridge=0.1, intercept=True))


def test_sparse_tables_stay_sparse(put):
    wide = scipy.sparse.random_array((50, 40), density=0.05, rng=0, format="coo")
    matrix = load_matrix(put("w.mtx", wide))
    assert scipy.sparse.issparse(matrix)
    problem = load_problem(put("w.mtx", wide), loss="least-squares")
    assert scipy.sparse.issparse(problem._X)
    same(problem, LeastSquares(wide.toarray()[:, :-1], wide.toarray()[:, -1]))


@pytest.mark.parametrize("label", ["class", "0", "-3"])
def test_label_by_name_or_index(put, label):
    moved = "class,mass,length\n" + "\n".join(f"{y:g},{a:g},{b:g}" for (a, b), y in zip(X, Y, strict=True))
    same(load_problem(put("m.csv", moved), loss="logistic", label=label), Logistic(X, Y))
    if label != "class":
        same(load_problem(put("m.npy", TABLE[:, [2, 0, 1]]), loss="logistic", label=label), Logistic(X, Y))


def test_text_labels(put):
    rows = "1,2,cat\n3,4,dog\n5,6,cat\n"
    for content in (rows, "a,b,kind\n" + rows, '"a","b","kind"\n' + rows):
        problem = load_problem(put("k.csv", content), loss="softmax")
        assert problem.classes.tolist() == ["cat", "dog"]
        same(problem, Softmax([[1, 2], [3, 4], [5, 6]], [0, 1, 0]))
    refused(
        InvalidInput,
        "it holds 'cat', 'dog': recode the labels, or use a softmax",
        put("k.csv", rows),
        loss="logistic",
    )
    refused(
        InvalidInput,
        "line 1, column 2: 'cat' where a finite number is needed",
        put("k.csv", rows),
        loss="least-squares",
    )


# ---- what is refused ------------------------------------------------------------------------------


def test_where_the_loss_has_to_be_said(put):
    for path in (put("t.npy", TABLE), put("t.csv", CSV), put("t.mtx", TABLE)):
        said = refused(InvalidInput, r"shape \(4, 3\) is not square.*choose --loss", path)
        assert "--label" in said
    refused(InvalidInput, "square and not symmetric.*choose --loss", put("s.npy", np.triu(Q)))
    refused(InvalidInput, "more than one loss; choose --loss", put("p.npz", {"X": X, "y": Y}))
    refused(InvalidInput, r"shape \(2,\) is not square", put("v.npy", np.ones(2)))


def test_options_that_do_not_fit(put):
    path = put("q.npy", Q)
    with pytest.raises(InvalidInput, match="unknown loss 'hinge'; choose one of least-squares, logistic"):
        load_problem(path, loss="hinge")
    refused(InvalidInput, "no label column to choose", path, label="1")
    refused(InvalidInput, "no intercept", path, intercept=True)
    refused(InvalidInput, "no label column", put("p.npz", {"A": X, "b": Y}), label="0")
    refused(InvalidInput, "ridge must be finite and >= 0; got -1", path, ridge=-1)
    refused(InvalidInput, "needs at least one column of features", put("o.npy", X[:, :1]), loss="logistic")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            "color",
            "--label color: no such column; the header has mass, length, class; give a name or an index",
        ),
        ("3", "--label 3: no such column; there are 3, counted from 0"),
        ("-4", "no such column"),
    ],
)
def test_unknown_label(put, label, message):
    refused(InvalidInput, message, put("t.csv", HEADER + CSV), loss="logistic", label=label)
    refused(InvalidInput, "no such column", put("t.npy", TABLE), loss="logistic", label=label)


def test_a_name_that_occurs_twice(put):
    refused(
        InvalidInput,
        "2 such columns; give the index",
        put("t.csv", "a,a,y\n1,2,0\n3,4,1"),
        loss="logistic",
        label="a",
    )
    many = ",".join(f"c{i}" for i in range(12)) + "\n" + ",".join("1" * 12)
    refused(InvalidInput, r"c7, \.\.\. \(12 columns\)", put("t.csv", many), loss="logistic", label="z")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "1,2,0\n3,x,1\n",
            r"line 3, column 1 \('length'\): 'x' where a finite number is needed \(1 such",
        ),
        (
            "1,2,0\n\n3,x,1\n?,4,1\n",
            r"line 3, column 1: 'x' where a finite number is needed \(2 such cells\)",
        ),
        (HEADER + "1,,0\n3,4,1\n", r"line 2, column 1 \('length'\): an empty cell"),
        (HEADER + "nan,2,0\n3,4,1\n", r"line 2, column 0 \('mass'\): 'nan'"),
        (HEADER + "1,inf,0\n3,4,1\n", r"line 2, column 1 \('length'\): 'inf'"),
        (HEADER + "1,2,0\n3,4,\n", r"line 3, column 2 \('class'\): the label is empty"),
        (HEADER + "1,2,0\n3,4\n", "line 3 has 2 cells where line 1 has 3"),
        (HEADER, "a header and no rows of data"),
        ("\n \n,,\n", "blank lines only"),
        (b"\xff\xfe\x00a", r"not UTF-8 text \(byte 0\); save it as UTF-8"),
        ('1,2,0\n"3,4,1\n' + "9" * 200_000, r"cannot be read \(field larger"),
        (HEADER + "1,2,0\n3,4,0\n", "one class only, 0"),
    ],
)
def test_malformed_csv(put, text, message):
    refused(InvalidInput, message, put("bad.csv", text), loss="logistic")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.npy", pickle.dumps({"a": 1}), "not a NumPy array .it may be pickled.*numpy.save"),
        ("p.npy", b"not an array", "not a NumPy array"),
        ("p.npy", b"\x93NUMPY\x01\x00", "cannot be read"),
        ("p.npz", b"PK nothing", "not a NumPy archive; write it with numpy.savez"),
        ("p.npz", {}, "an archive without arrays"),
        ("p.npz", {"u": X, "v": Y}, "holds the arrays u, v; name them A and b"),
        ("p.npz", {"A": X, "X": X}, "holds the arrays A, X; name them"),
        ("m.mtx", "not a matrix", "cannot be read"),
        ("m.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1.0\n", "cannot be read"),
        ("m.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 1\n5 5 1.0\n", "cannot be read"),
        ("e.npy", b"", r"is empty \(0 bytes\)"),
        ("e.csv", b"", r"is empty \(0 bytes\)"),
        ("m.txt", b"1 2", "cannot read .txt; give .npy, .npz, .mtx, .csv"),
        ("plain", b"1 2", "a file without suffix"),
    ],
)
def test_malformed_files(put, name, content, message):
    path = put(name, content)
    refused(InvalidInput, message, path)
    with pytest.raises(InvalidInput, match=message):
        load_matrix(path)


def test_pickled_and_truncated_arrays(put, tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    refused(InvalidInput, "holds pickled objects, which are not read since they can run code", tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", A=objects)
    refused(InvalidInput, "holds pickled objects", tmp_path / "o.npz")
    whole = put("t.npy", TABLE)
    whole.write_bytes(whole.read_bytes()[:-9])
    refused(InvalidInput, "cannot be read .*whole .npy file", whole)
    archive = put("t.npz", {"A": X, "b": Y})
    archive.write_bytes(archive.read_bytes()[:-30])
    refused(InvalidInput, "not a NumPy archive", archive)


def test_a_size_that_does_not_fit(put, monkeypatch):
    path = put("q.npy", Q)

    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    refused(InvalidInput, "does not fit in memory", path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (np.diag([1.0, np.nan]), NotFinite, "1 NaN or infinite entries of 4"),
        (np.array([[1, 1j], [-1j, 1]]), InvalidType, "must be real"),
        (np.array([["a", "b"], ["b", "a"]]), InvalidType, "must be numbers"),
        (np.empty((0, 0)), InvalidInput, "empty"),
        (np.ones((2, 2, 2)), InvalidInput, "not square"),
    ],
)
def test_contents_that_are_no_problem(put, content, error, message):
    refused(error, message, put("c.npy", content))


def test_contents_that_are_no_matrix(put):
    for content in (np.ones(3), np.diag([1.0, np.inf])):
        with pytest.raises(InvalidInput, match=r"c\.npy: .*matrix"):
            load_matrix(put("c.npy", content))


def test_paths(tmp_path, put):
    refused(UnknownTarget, "there is no such file; check the path", tmp_path / "absent.npy")
    with pytest.raises(UnknownTarget, match="no such file in /"):
        load_problem("absent.npy")
    (tmp_path / "folder.npy").mkdir()
    refused(InvalidInput, "is a directory; give one .npy", tmp_path / "folder.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    refused(InvalidInput, "not a regular file", tmp_path / "pipe.npy")
    with pytest.raises(SurefootError):
        load_problem("a\0b.npy")
    with pytest.raises(SurefootError):
        load_problem("x" * 5000 + ".npy")


def test_a_file_that_may_not_be_read(put, monkeypatch):
    path = put("q.npy", Q)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    refused(InvalidInput, "Permission denied", path)
