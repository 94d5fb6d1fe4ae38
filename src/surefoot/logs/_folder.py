"""The folder of a run: TensorBoard's event files, MLflow's metrics, or a log under a name that trainers give it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surefoot.errors import InvalidInput
from surefoot.logs._events import is_events, read_events
from surefoot.logs._source import Lines, too_many
from surefoot.logs._table import is_number

# Names under which trainers leave their log: Lightning, YOLO, transformers, detectron2, MAE.
KNOWN = ("metrics.csv", "results.csv", "trainer_state.json", "metrics.json", "log.jsonl", "log.csv", "log.txt")
# Folders of one run: what is under them belongs together (Keras writes the first two).
PARTS = ("train", "validation", "val", "test", "eval")
# Entries of a folder that are looked at: a folder of a million files is no run's.
MOST_ENTRIES = 10_000

Rows = tuple[Sequence[Any], list[str]]


def read_folder(path: Path, read: Callable[[Path], Any]) -> Rows:
    """The log in a folder.

    Parameters
    ----------
    path : path
    read : callable
        Reads a file or a folder in it.

    Raises
    ------
    InvalidInput
        If there is none, or there are several runs.
    """
    entries = _entries(path)
    # TensorBoard's files first: trainers write them beside their own logs, with more in them
    events = [entry for entry in entries if entry.is_file() and is_events(entry)]
    if events:
        return read_event_files(events)
    for name in KNOWN:
        if (path / name).is_file():
            log = read(path / name)
            return log.rows, [*log.notes, f"read {name} in it"]
    if (path / "metrics").is_dir():
        return _metrics(path / "metrics")
    if path.name == "metrics" and any(entry.is_file() for entry in entries):
        return _metrics(path)
    checkpoints = [entry for entry in entries if (entry / "trainer_state.json").is_file()]
    if checkpoints:
        # each holds the history up to it
        last = max(checkpoints, key=lambda entry: (_number(entry.name), entry.name))
        log = read(last / "trainer_state.json")
        return log.rows, [*log.notes, f"read {last.name}/trainer_state.json in it"]
    parts = [path / part for part in PARTS if (path / part).is_dir()]
    if parts:
        return _parts(parts)
    runs = [entry for entry in entries if entry.is_dir() and _has_log(entry)]
    if len(runs) == 1:
        log = read(runs[0])
        return log.rows, [*log.notes, f"read {runs[0].name} in it"]
    if runs:
        names = ", ".join(run.name for run in runs[:6])
        raise InvalidInput(f"{path} holds {len(runs)} runs: {names}; give one of them, such as {runs[0]}")
    raise InvalidInput(
        f"{path} is a folder without TensorBoard's event files, MLflow's metrics or {', '.join(KNOWN)}; give the log"
    )


def read_event_files(files: Sequence[Path], prefix: str = "") -> Rows:
    """Event files in the order of their names, which begin with the time: a resumed run writes one more."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for file in sorted(files):
        scalars, whole = read_events(file)
        for tag, step, value in scalars:
            name = prefix + tag
            # tags that were logged at one step stand one after the other
            if rows and rows[-1]["step"] == step and name not in rows[-1]:
                rows[-1][name] = value
            else:
                rows.append({"step": step, name: value})
                too_many(file, len(rows))
        if not whole:
            notes.append(f"the last record of {file.name} is cut off, as in a run that was killed")
    return rows, notes


def read_metric(lines: Lines, name: str = "") -> list[dict[str, Any]]:
    """One of MLflow's metric files: time, value, step on each line.

    Raises
    ------
    InvalidInput
        If a line is another.
    """
    name = name or lines.path.name
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        cells = line.split()
        if not cells:
            continue
        if not 2 <= len(cells) <= 3 or not all(map(is_number, cells)):
            raise InvalidInput(f"{lines.path}, line {number}: expected time, value, step; got {line[:40]!r}")
        rows.append({"step": cells[2] if len(cells) > 2 else number - 1, name: cells[1]})
        too_many(lines.path, len(rows))
    return rows


def _metrics(folder: Path) -> Rows:
    rows: list[dict[str, Any]] = []
    for file in sorted(_files(folder)):
        rows += read_metric(Lines(file), file.relative_to(folder).as_posix())
        too_many(folder, len(rows))
    return rows, []


def _files(folder: Path) -> list[Path]:
    """Files in it and in folders in it, one level down: MLflow makes a folder of a name with a slash."""
    files: list[Path] = []
    for entry in _entries(folder):
        if entry.is_dir():
            files += [inner for inner in _entries(entry) if inner.is_file()]
        elif entry.is_file():
            files.append(entry)
    return files


def _parts(parts: Sequence[Path]) -> Rows:
    rows: list[Any] = []
    notes: list[str] = []
    for part in parts:
        files = [entry for entry in _entries(part) if entry.is_file() and is_events(entry)]
        more, more_notes = read_event_files(files, "" if part.name == "train" else f"{part.name}/")
        rows, notes = [*rows, *more], notes + more_notes
    return rows, notes


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be read ({error.strerror or error}); check the path") from error
    if len(entries) > MOST_ENTRIES:
        raise InvalidInput(f"{folder} holds {len(entries):,} entries; give the folder of one run")
    return entries


def _has_log(folder: Path) -> bool:
    return any(
        (entry.is_file() and (is_events(entry) or entry.name in KNOWN)) or (entry.is_dir() and entry.name == "metrics")
        for entry in _entries(folder)
    )


def _number(name: str) -> int:
    digits = "".join(filter(str.isdigit, name))[-18:]
    return int(digits) if digits.isascii() and digits else 0
