"""Hostile files for every reader: each is read, or refused in a line with a hint; none crashes, hangs or fills memory.

A few hundred in each run of the tests, from a fixed seed; SUREFOOT_SOAK=20000 tries so many, from a seed of the day.
"""

import os
import random
import resource
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
from audits import planted
from logs.writers import WRITERS

import surefoot as sf
from surefoot.cli import run
from surefoot.errors import SurefootError
from surefoot.logs import read_curves, read_log
from surefoot.recipes import clip_advice, logged_norms
from surefoot.targets._files import load_matrix, load_problem
from surefoot.targets.images import read_image

SOAK = int(os.environ.get("SUREFOOT_SOAK", "0"))
SEED = int(time.time()) if SOAK else 20_240
# Seconds of processor time after which an input counts as a hang: a thousand times what most take.
HANG = 60
# Growth of the process in MB: the bounds of the readers, and not what a header promises.
MOST_MEMORY = 700

TOKENS = [
    *(b"nan", b"inf", b"-inf", b"1e999", b"-1e308", b"1e-320", b"9" * 400, b"9" * 5000, b"1_000", b"0x10", b"1,5"),
    *(b"\0", b"\r", b"\n", b"\n\n", b"\t", b";", b",", b'"', b"'", b"{", b"}", b"[", b"]", b"[" * 5000, b"\\"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x1b[31m", b"# ", b"%%MatrixMarket ", b"\x1f\x8b"),
    *(
        b"loss",
        b"lr",
        b"step",
        b"epoch",
        b"null",
        b"true",
        b'"lr": [1, 2]',
        b'"step": -1e18',
        b"tensor(",
        b"PK\x03\x04",
    ),
    *(b"1e12", b"10000000000000", b"\xc2\xb2", b"\xd9\xa3", b" loss 1 loss 2 loss", b"step" * 300, b"lr=" * 500, b"--"),
    *(b"x" * 200_000, b'{"a":' * 3000),
]
NAMES = ["log.csv", "log.tsv", "log.jsonl", "log.json", "log.txt", "log", "log.csv.gz", "events.out.tfevents.1"]


@contextmanager
def no_hang():
    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def hostile(rng, data):
    """The bytes with something wrong."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.choice([1, 5, 200])]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at : at + rng.randrange(12)] = rng.choice(TOKENS)
        else:
            some = bytes(data[at : at + rng.choice([3, 40, 400])])
            data[at:at] = some * rng.choice([1, 2, 50])
    return bytes(data)


def bytes_of(folder, writer):
    """What a writer writes, as the bytes of one file and its name."""
    made = WRITERS[writer](folder, planted.descend(planted.cosine(60, 0.5, 6), seed=1))
    path = made
    while path.is_dir():
        path = sorted(path.iterdir())[-1]
    return path.read_bytes(), path.name


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return [bytes_of(tmp_path_factory.mktemp(name), name) for name in sorted(set(WRITERS) - {"frame"})]


def check(call, path):
    """Read, or refused in one line that names what was wrong."""
    said = "read"
    try:
        with no_hang():
            call(path)
    except SurefootError as error:
        said = str(error)
    # not compared in an assertion: pytest would print all of it
    one_line = "\n" not in said and len(said) < 2000
    assert one_line, said[:300]


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_logs(tmp_path, sources):
    rng = random.Random(SEED)
    before = memory()
    for i in range(SOAK or 600):
        data, name = rng.choice(sources)
        name = name if rng.random() < 0.7 else rng.choice(NAMES)
        path = tmp_path / name
        path.write_bytes(hostile(rng, data))
        check(sf.why, path)
        check(read_curves, path)
        if i % 4 == 0:
            check(lambda path: clip_advice(logged_norms(path)), path)
        if i % 12 == 0:
            check(lambda path: sf.audit(path, "cosine:0.5,total=60,warmup=6"), path)
            check(lambda path: sf.audit([0.5, 0.4, 0.3], path), path)
        path.unlink()
    assert memory() - before < MOST_MEMORY


def test_the_command_says_one_line_and_a_hint(tmp_path, sources, capsys):
    rng = random.Random(SEED + 1)
    for i in range(SOAK // 10 or 60):
        data, name = rng.choice(sources)
        path = tmp_path / (name if rng.random() < 0.7 else rng.choice(NAMES))
        path.write_bytes(hostile(rng, data))
        verb = ["why", str(path)] if i % 4 else ["audit", str(path), "--plan", "cosine:0.5,total=60,warmup=6"]
        with no_hang():
            code = run(verb)
        out, err = capsys.readouterr()
        assert code in (0, 1, 2)
        assert "Traceback" not in out + err
        assert "did not expect" not in err, err
        if code == 2:
            assert err.startswith("error: ")
            assert len(err.splitlines()) <= 2
        path.unlink()


def test_matrices_and_tables(tmp_path):
    import scipy.io
    import scipy.sparse

    rng = random.Random(SEED + 2)
    matrix = np.arange(1.0, 31.0).reshape(6, 5) * (np.arange(30).reshape(6, 5) % 3 > 0)
    np.save(tmp_path / "a.npy", matrix)
    np.savez(tmp_path / "b.npz", A=matrix, b=np.ones(6))
    for kind in ("csr", "coo"):
        scipy.sparse.save_npz(tmp_path / f"{kind}.npz", scipy.sparse.coo_array(matrix).asformat(kind))
    scipy.io.mmwrite(tmp_path / "e.mtx", scipy.sparse.coo_array(matrix))
    scipy.io.mmwrite(tmp_path / "f.mtx", matrix)
    np.savetxt(tmp_path / "g.csv", matrix, delimiter=",", header="a,b,c,d,e", comments="")
    whole = [(path.read_bytes(), path.suffix) for path in sorted(tmp_path.iterdir())]
    before = memory()
    for _ in range(SOAK or 800):
        data, suffix = rng.choice(whole)
        path = tmp_path / f"hostile{suffix if rng.random() < 0.9 else rng.choice(['.npy', '.npz', '.mtx', '.csv'])}"
        path.write_bytes(hostile(rng, data))
        check(load_matrix, path)
        check(lambda path: load_problem(path, loss="least-squares"), path)
    assert memory() - before < MOST_MEMORY


def test_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = random.Random(SEED + 3)
    grey = (np.arange(600).reshape(20, 30) % 256).astype(np.uint8)
    for suffix in ("png", "jpg", "tif", "bmp", "webp"):
        image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    image.fromarray(grey.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    whole = [(path.read_bytes(), path.suffix) for path in sorted(tmp_path.iterdir())]
    before = memory()
    for _ in range(SOAK or 400):
        data, suffix = rng.choice(whole)
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(hostile(rng, data))
        check(read_image, path)
    assert memory() - before < MOST_MEMORY


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", b"[" * 5000 + b"]" * 5000),
        ("deep.jsonl", b'{"a":' * 5000 + b"1" + b"}" * 5000),
        ("long.json", b'[{"lr": ' + b"9" * 400 + b', "step": 1}]'),
        ("longer.json", b'[{"lr": ' + b"9" * 5000 + b', "step": 1}]'),
        ("step.json", b'[{"lr": 1, "step": ' + b"9" * 400 + b"}]"),
        ("cell.csv", b'step,lr\n0,"' + b"9" * 150_000 + b'"\n'),
        ("line.csv", b"step,lr\n0," + b"9" * 2_000_000 + b"\n"),
        ("nul.csv", b"step,lr\n0,1\0\n"),
        ("gz.csv.gz", b"\x1f\x8b\x08\x00nonsense"),
        ("inf.csv", b"step,lr\n0,1e308\n1,1e308\n2,-1e308\n"),
    ],
)
def test_known_hostile_logs_are_refused_in_a_line(tmp_path, name, content, capsys):
    (tmp_path / name).write_bytes(content)
    check(read_log, tmp_path / name)
    check(sf.why, tmp_path / name)
    code = run(["audit", str(tmp_path / name), "--plan", "cosine:1,total=3"])
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert "did not expect" not in err
    assert len(err.splitlines()) <= 2


def test_paths_that_are_none(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (
        "~nouser/x.csv",
        str(tmp_path / "pipe.csv"),
        "a\0b.csv",
        "x" * 5000 + ".csv",
        str(tmp_path),
        "/dev/null",
    ):
        with no_hang():
            code = run(["why", path])
        err = capsys.readouterr().err
        assert code == 2
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 2


def test_an_archive_that_unpacks_without_end(tmp_path, monkeypatch):
    import gzip

    from surefoot.logs import _source

    monkeypatch.setattr(_source, "MOST_BYTES", 2**20)
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"step,lr\n" + b"1,0.5\n" * 10**6))
    with pytest.raises(SurefootError, match="holds more than 1 MB"):
        read_log(path)
