"""`surefoot audit` on files of every kind, good and bad; and the log formats themselves, read and written."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.logs import EventWriter, JsonLines, read_events, read_log
from surefoot.logs._wire import BYTES, VARINT, checksum, field, fields, frame, varint

PLAN = "cosine:0.01,total=200"


def rate(k):
    return 0.005 * (1 + math.cos(math.pi * k / 200))


def written(folder, kind, at=rate):
    """A log of 200 steps in some format; its path."""
    if kind == "events":
        writer = EventWriter(folder / "runs")
        for k in range(200):
            writer.write(k, {"loss": 1 / (k + 1), "train/lr": at(k)})
        writer.close()
        return folder / "runs"
    path = folder / f"log.{kind}"
    rows = [{"step": k, "loss": 1 / (k + 1), "lr": at(k)} for k in range(200)]
    if kind == "json":
        path.write_text(json.dumps({"log_history": rows}))
    elif kind == "jsonl":
        lines = JsonLines(path)
        for row in rows:
            lines.write(row)
        lines.close()
    else:
        comma = "\t" if kind == "tsv" else ","
        path.write_text("\n".join(comma.join(map(str, r)) for r in [rows[0].keys(), *(r.values() for r in rows)]))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "events"])
def test_every_format_as_planned_and_not(command, tmp_path, kind):
    path = str(written(tmp_path, kind))
    code, out, err = command("audit", path, "--plan", PLAN)
    assert (code, err) == (0, "")
    assert "as planned" in out
    code, out, err = command("audit", path, "--plan", "cosine:0.01,total=50")
    assert (code, err) == (1, "")
    assert "departs: counted in micro-batches" in out


def test_json_report_and_figure(command, tmp_path):
    path = str(written(tmp_path, "csv", lambda k: rate(min(2 * k, 200))))
    code, out, err = command("audit", path, "--plan", PLAN, "--json", "--report", "a.html", "--svg", "a.svg")
    assert code == 1
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (record["kind"], record["cause"], record["first_departure"]) == ("audit", "stepped too often", 3)
    assert err.splitlines() == [f"figure: {tmp_path / 'a.svg'}", f"report: {tmp_path / 'a.html'}"]
    page = (tmp_path / "a.html").read_text()
    assert "stepped too often" in page
    assert "departs at 3" in page
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_the_report_escapes_what_it_shows(command, tmp_path):
    (tmp_path / "<b>.csv").write_text("step,<i>lr\n0,1\n1,2\n")
    code, *_ = command("audit", "<b>.csv", "--plan", "constant:1", "--column", "<i>lr", "--report", "a.html")
    assert code == 1
    page = (tmp_path / "a.html").read_text()
    assert "&lt;b&gt;.csv" in page
    assert "<b>" not in page
    assert "<i>lr" not in page


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "step,lr\n", "no rows"),
        ("a.csv", "1,2\n3,4\n", "first line must name the columns"),
        ("a.csv", "step,loss\n0,1\n", "no column of rates among step, loss"),
        ("a.csv", "step,lr\n0,nan\n", "step 0: the rate is nan"),
        ("a.csv", "step,lr\n0,inf\n", "step 0: the rate is inf"),
        ("a.csv", "step,lr\nx,1\n", "the step must be a number"),
        ("a.csv", "step,lr\n0,fast\n", "the rate must be a number"),
        ("a.jsonl", '{"lr": 1}\nlr = 2\n{"lr": 1}\n', "line 2: not JSON"),
        ("a.jsonl", "[1, 2]\n", "line 1: expected a record"),
        ("a.json", "{", "not JSON"),
        ("a.json", '{"lr": 1}', "expected a list of records"),
        ("a.pkl", "x", "cannot read .pkl"),
        ("events.out.tfevents.1.x", "not an event file at all", "is no event file"),
        ("a.csv", "\xff\xfd", "cannot be read"),
    ],
)
def test_bad_logs_are_bad_input(command, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    code, out, err = command("audit", name, "--plan", PLAN)
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_bad_usage(command, tmp_path):
    written(tmp_path, "csv")
    (tmp_path / "empty").mkdir()
    for arguments, says in [
        (["audit", "log.csv"], "--plan"),
        (["audit", "log.csv", "--plan", "cosin:1"], "did you mean cosine"),
        (["audit", "log.csv", "--plan", PLAN, "--column", "rate"], "there are step, loss, lr"),
        (["audit", "log.csv", "--plan", PLAN, "--svg", "/no/such/a.svg"], "no folder"),
        (["audit", "nothing.csv", "--plan", PLAN], "no such file"),
        (["audit", "empty", "--plan", PLAN], "folder without TensorBoard's event files"),
    ]:
        code, _, err = command(*arguments)
        assert code == 2
        assert says in err


def test_a_log_cut_off_in_mid_line_counts_up_to_there(tmp_path):
    path = written(tmp_path, "jsonl")
    path.write_text(path.read_text()[:-20])
    found = sf.audit(path, PLAN)
    assert (found.verdict, found.rows) == ("as planned", 199)
    assert any("cut off" in line for line in found.evidence)


def test_lines_go_on_in_the_log_of_a_killed_run(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "lr": 1.0}\n{"step": 1, "l')
    lines = JsonLines(path)
    lines.write({"step": 1, "lr": math.inf, "more": {"a": [math.nan, 2]}})
    lines.close()
    assert path.read_text().splitlines()[-1] == '{"step": 1, "lr": null, "more": {"a": [null, 2]}}'
    assert read_log(path).notes == ("line 2 is cut off, as in a run that was killed",)
    assert len(read_log(path).rows) == 2


# event files


def test_the_checksum_is_that_of_the_record_format():
    # CRC-32C of nine digits is 0xE3069283 (RFC 3720); the mask rotates it by 15 and adds 0xA282EAD8
    crc = 0xE3069283
    assert checksum(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_survive(value):
    (found,) = fields(field(2, VARINT, value))
    assert found == (2, VARINT, value & 0xFFFFFFFFFFFFFFFF)


@given(
    st.lists(st.tuples(st.integers(-5, 10**12), st.text(max_size=8), st.floats(width=32, allow_nan=False)), max_size=12)
)
def test_what_is_written_is_read(scalars):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        writer = EventWriter(folder)
        for step, tag, value in scalars:
            writer.write(step, {tag: value})
        writer.close()
        found, whole = read_events(writer.path)
    assert whole
    assert found == [(tag, step, value) for step, tag, value in scalars]


def test_a_file_cut_off_anywhere_is_read_up_to_there(tmp_path):
    writer = EventWriter(tmp_path)
    for k in range(5):
        writer.write(k, {"lr": 0.5})
    writer.close()
    data = writer.path.read_bytes()
    complete = {len(read_events(writer.path)[0])}
    for size in range(len(data)):
        writer.path.write_bytes(data[:size])
        found, whole = read_events(writer.path)
        assert len(found) <= 5
        complete.add(len(found))
        assert found == [("lr", k, 0.5) for k in range(len(found))]
        assert whole == ends_a_record(data, size)
    assert complete == {0, 1, 2, 3, 4, 5}


def ends_a_record(data, size):
    at = 0
    while at < size:
        at += struct.unpack_from("<Q", data, at)[0] + 16
    return at == size


def test_one_flipped_bit_is_found(tmp_path):
    writer = EventWriter(tmp_path)
    writer.write(1, {"lr": 0.5})
    writer.write(2, {"lr": 0.25})
    writer.close()
    data = bytearray(writer.path.read_bytes())
    for at in range(0, len(data), 7):
        data[at] ^= 4
        writer.path.write_bytes(data)
        with pytest.raises(InvalidInput, match=r"damaged|no event file"):
            read_events(writer.path)
        data[at] ^= 4


def test_scalars_in_tensors_are_read(tmp_path):
    """TensorFlow 2 and TensorBoard's own writer put them there: float_val, double_val or raw content."""
    tensors = [
        field(1, VARINT, 1) + field(5, BYTES, struct.pack("<f", 0.5)),
        field(1, VARINT, 2) + field(6, BYTES, struct.pack("<d", 0.25)),
        field(1, VARINT, 1) + field(4, BYTES, struct.pack("<f", 0.125)),
        field(1, VARINT, 1) + field(5, BYTES, struct.pack("<ff", 1, 2)),  # two numbers are no scalar
    ]
    events = [
        field(2, VARINT, k) + field(5, BYTES, field(1, BYTES, field(1, BYTES, b"lr") + field(8, BYTES, tensor)))
        for k, tensor in enumerate(tensors)
    ]
    path = tmp_path / "events.out.tfevents.0.host"
    path.write_bytes(b"".join(map(frame, events)))
    assert read_events(path) == ([("lr", 0, 0.5), ("lr", 1, 0.25), ("lr", 2, 0.125)], True)


def test_negative_steps_and_long_integers():
    assert varint(300) == b"\xac\x02"
    with pytest.raises(ValueError, match="cut off"):
        list(fields(b"\xff"))


def test_a_resumed_run_writes_a_second_file_and_both_are_read(tmp_path):
    for first, last in ((0, 120), (100, 200)):
        writer = EventWriter(tmp_path)
        for k in range(first, last):
            writer.write(k, {"lr": rate(k)})
        writer.close()
    found = sf.audit(tmp_path, PLAN)
    assert (found.verdict, found.rows) == ("as planned", 220)
