"""Plain text, as trainers print it: nanoGPT, Megatron, fairseq, timm, DeepSpeed, Keras, transformers' dictionaries.

No format of these is written down, so a line is searched for names with numbers behind them ("lm loss: 6.9E+00",
"lr=1e-4", "'grad_norm': '1.2'", "iter 100: loss 2.5"), and for the position of the run in the ways that are usual.
"""

import re
from collections.abc import Iterable
from typing import Any

from surefoot.logs._source import Lines, too_many

# A number as programs print it.
NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
# A name of at most three words, perhaps quoted, then : or =, then a number, perhaps in a list, quotes or a tensor.
PAIR = re.compile(
    r"(?P<name>[A-Za-z_][\w./-]*(?: [A-Za-z_][\w./-]*){0,2})['\"]?\s*[:=]\s*(?:tensor)?[\['\"(]*\s*"
    rf"(?P<value>{NUMBER})(?![\w:]|\.\d)",
    re.IGNORECASE,
)
# Names after which nothing stands but a blank.
SPACED = re.compile(
    r"(?<![\w-])(?P<name>(?:train|val(?:id(?:ation)?)?|eval|test|lm)[ _/]loss|loss|learning[ _]rate|lr|"
    rf"(?:total_)?grad(?:ient)?[ _]norm|gnorm|norm|loss[ _]scale)\s+(?P<value>{NUMBER})(?![\w:]|\.\d)",
    re.IGNORECASE,
)
# Epoch and place in it: fairseq "epoch 3: 100 / 2500", timm "Train: 3 [ 100/2500 ( 4%)]", mmengine "[3][100/2500]".
WITHIN = re.compile(
    r"\b(?:epoch|train)\b[^\d\[|]{0,12}\[?\s{0,4}(\d+)\s{0,4}\]?[:\s]{0,6}\[?\s{0,8}(\d+)\s?/\s{0,8}(\d+)",
    re.IGNORECASE,
)
# A position that is named: "step 10", "iter: [10", "batch=10".
STEP = re.compile(
    r"(?<![\w/-])(?:global[_ ]step|step|iter(?:ation)?|update|batch)s?['\"]?"
    r"\s{0,12}[:=#]?\s{0,12}\[?\s{0,12}(\d+)(?![\w.]|:\d)",
    re.IGNORECASE,
)
# tqdm's bar: "| 10/1000 [".
BAR = re.compile(r"\|\s*(\d+)/\d+\s*\[")
EPOCH = re.compile(r"\bepochs?['\"]?\s{0,4}[:=#]?\s{0,4}\[?['\"]?(\d+(?:\.\d+)?)(?![\w:])", re.IGNORECASE)
# build-nanogpt: "250 val 3.28"
NUMBERED = re.compile(rf"\s*(\d+)\s+(train|val)\s+({NUMBER})\s*", re.IGNORECASE)
# Escapes by which terminals colour text.
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A line without any of these says nothing of a run; most lines of a log are such.
WORTH = re.compile(
    r"loss|lr\b|learning|norm|scale|step|iter|epoch|batch|update|trl|tel|nll|train|val|\|", re.IGNORECASE
)
# What a line longer than this holds after it is left out: no trainer prints a record so long.
LONGEST = 4000


def read_text(lines: Lines) -> tuple[list[dict[str, Any]], list[str]]:
    """A row from each line that has a name with a number; the position is carried on to lines that have none."""
    rows: list[dict[str, Any]] = []
    position: dict[str, Any] = {}
    first_epoch: int | None = None
    for raw in lines:
        line = raw[:LONGEST]
        if not WORTH.search(line):
            continue
        line = COLOURS.sub("", line)
        if numbered := NUMBERED.fullmatch(line):
            rows.append({"step": numbered[1], f"{numbered[2].lower()} loss": numbered[3]})
            continue
        values = _values(line)
        here: dict[str, Any] = {}
        if within := WITHIN.search(line):
            # batches of earlier epochs are counted in; epochs may count from 0 or 1, so from the first one seen
            epoch, done, each = (int(part) for part in within.groups())
            first_epoch = epoch if first_epoch is None else first_epoch
            here = {"step": (epoch - first_epoch) * each + done, "epoch": epoch}
        else:
            if epoch := EPOCH.search(line):
                here["epoch"] = epoch[1]
            if (step := STEP.search(line)) or (step := BAR.search(line)):
                here["step"] = step[1]
        position |= here
        # a line that has a position alone ("[step=10/1000]") is the heading of those below it
        if values:
            rows.append({**position, **values})
            too_many(lines.path, len(rows))
    return rows, []


def _values(line: str) -> dict[str, str]:
    values = {match["name"].strip(): match["value"] for match in _pairs(line)}
    # the position is found by patterns of its own, which know the total behind the slash
    for name in [name for name in values if STEP.fullmatch(f"{name} 0") or EPOCH.fullmatch(f"{name} 0")]:
        del values[name]
    return values


def _pairs(line: str) -> Iterable[re.Match[str]]:
    # a name with a colon is plainer than one with a blank, and comes last: it overwrites
    yield from SPACED.finditer(line)
    yield from PAIR.finditer(line)
