"""What the template shows, as text: every number is formatted here and every figure drawn."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from markupsafe import Markup

from surefoot.report import _advice_figures as figures

__all__ = ["View", "number", "page"]

Record = Mapping[str, Any]
View = dict[str, Any]

LIMIT_ROWS = (
    ("stable", "stable", "largest step stable in every direction"),
    ("curvature limit", "curvature_limit", "the same without the directions of negative curvature"),
    ("safe", "safe", "step of the best guaranteed decrease"),
    ("optimal", "optimal", "best constant step"),
    ("rate", "rate", "contraction per step at the optimal step"),
)

# A kind of detail, and the module whose `section` shows it.
DETAILS = {
    "density": "surefoot.report._density",
    "residual": "surefoot.report._residual",
    "widths": "surefoot.report._width",
}


def page(advices: Sequence[Record]) -> View:
    """Everything on the page.

    Parameters
    ----------
    advices : sequence of mapping
        Records of kind "advice".
    """
    named = [(a, r) for a in advices for r in a["recommendations"]]
    several = len(advices) > 1
    rows = [(f"{_short(a)}: {r['label']}" if several else r["label"], r) for a, r in named]
    return {
        "title": "How big a step? " + " · ".join(a["target"] for a in advices),
        "targets": [_target(a, f"target-{i}") for i, a in enumerate(advices, 1)],
        "overview": Markup(figures.overview(rows)) if any(r["trials"] for _, r in rows) else None,
        "certainty": _certainty([r for _, r in named]),
        "cost": [_cost(a) for a in advices],
    }


def _short(advice: Record) -> str:
    """The target's name up to its details."""
    return advice["target"].partition(":")[0]


def _target(advice: Record, anchor: str) -> View:
    recommendations = [_recommendation(r, advice, f"{anchor}-{i}") for i, r in enumerate(advice["recommendations"], 1)]
    return {
        "anchor": anchor,
        "name": advice["target"],
        "facts": list(advice["description"].items()),
        "abstained": advice["abstained"],
        "recommendations": recommendations,
        "details": [import_module(DETAILS[d["kind"]]).section(d) for d in advice.get("details", [])],
    }


def _recommendation(record: Record, advice: Record, anchor: str) -> View:
    limits, verification = record["limits"], record["verification"]
    claims = [run["agrees"] for run in verification if run["agrees"] is not None]
    return {
        "anchor": anchor,
        "label": record["label"],
        "method": limits["method"],
        "note": record["note"],
        "finding": record["finding"],
        "sharpest": _interval(record["spectrum"]["largest"]),
        "limit": number(limits["curvature_limit"]),
        "checked": f"{sum(claims)}/{len(claims)} agree" if claims else "–",
        "contradicted": claims != [] and not all(claims),
        "usable": _range(record["usable"]),
        "suggested": number(record["suggested"]),
        "reached": number(next((t["final"] for t in record["trials"] if t["step"] == record["suggested"]), None)),
        "has_suggestion": record["suggested"] is not None,
        "limits": [
            (name, (rate if name == "rate" else number)(limits[key]), meaning, limits["reasons"].get(name, ""))
            for name, key, meaning in LIMIT_ROWS
        ],
        "condition": (_interval(limits["condition"]), limits["reasons"].get("condition", "")),
        "tuned": limits["reasons"].get("tuned", ""),
        "scope": "for the whole problem" if limits["scope"] == "global" else "linear claim at the start",
        "spectrum": _spectrum(record["spectrum"]),
        "verification": [_run(run) for run in verification],
        "trials": [(number(t["step"]), number(t["final"], "not finite"), t["ending"]) for t in record["trials"]],
        "figures": _drawn(record, advice),
    }


def _drawn(record: Record, advice: Record) -> list[View]:
    """The figures that there is something to draw for, each with what it shows."""
    drawn = [
        _figure(
            "How sharp is the terrain?",
            figures.spectrum(record),
            "Eigenvalues of the curvature, and the interval in which each end lies.",
        )
    ]
    if record["amplification"]:
        text = (
            "Worst over the curvatures that are not negative. Above 1 some direction grows with every step: "
            "the curve crosses 1 at the limit."
        )
        drawn.append(_figure("What does a step do to it?", figures.amplification(record), text))
    if record["verification"]:
        what = record["verification"][0]["what"]
        text = f"The {what}, just below and just above the limit: the linear claim put to the test."
        drawn.append(_figure("Is the limit true?", figures.verification(record), text))
    if record["trials"]:
        drawing = figures.final_loss(record, advice["initial_loss"], advice["constant_loss"])
        text = "Short real runs from the same start. The suggestion comes from these alone."
        drawn.append(_figure("What do real runs say?", drawing, text))
    return drawn


def _figure(title: str, drawing: str, caption: str) -> View:
    # the drawing is Surefoot's own and its text was escaped when it was written
    return {"title": title, "svg": Markup(drawing), "caption": caption}


def _run(run: Record) -> tuple[str, str, str, str, str]:
    verdict = {True: "agrees", False: "contradicts", None: "not decided"}[run["agrees"]]
    return f"{run['factor']:g} x limit", number(run["step"]), run["expected"] or "not said", run["observed"], verdict


def _spectrum(record: Record) -> View:
    return {
        "kind": record["kind"],
        "size": f"{record['size']:,}",
        "provenance": record["provenance"],
        "scope": record["scope"],
        "products": f"{record['products']:,}",
        "note": record["note"],
        "ends": [(name, _interval(record[name]), _trust(record[name])) for name in ("largest", "smallest")],
    }


def _trust(bounds: Record) -> str:
    if bounds["lower_is"] == bounds["upper_is"]:
        text = bounds["lower_is"]
    else:
        text = f"lower end {bounds['lower_is']}, upper end {bounds['upper_is']}"
    return text + (f", wrong with probability at most {bounds['failure']:g}" if bounds["failure"] else "")


def _certainty(recommendations: Sequence[Record]) -> str:
    """How sure the limits are, over all of them."""
    failures = [r["limits"]["failure"] for r in recommendations]
    if not failures:
        return ""
    worst = max(failures)
    if worst == 0:
        return "The curvature bounds behind these limits are exact or proved."
    return f"The curvature bounds behind each limit hold except with probability at most {worst:g}."


def _cost(advice: Record) -> str:
    return (
        f"{advice['target']}: {advice['products']:,} curvature products, {advice['runs']:,} short runs, "
        f"{advice['seconds']:.1f} s"
    )


def _interval(bounds: Record | None) -> str:
    if bounds is None:
        return "–"
    if bounds["lower"] == bounds["upper"] and bounds["lower"] is not None:
        return number(bounds["lower"], digits=6)
    lower = number(bounds["lower"], "−∞", digits=6)
    upper = number(bounds["upper"], "∞", digits=6)
    return f"[{lower}, {upper}]"


def _range(pair: Sequence[float] | None) -> str:
    if pair is None:
        return "–"
    return number(pair[0]) if pair[0] == pair[1] else f"{number(pair[0])} to {number(pair[1])}"


def rate(value: float) -> str:
    """A contraction: its distance from 1 where that is what matters."""
    return f"1 − {number(1 - value)}" if 0.99 < value < 1 else number(value)


def number(value: float | str | None, missing: str = "–", *, digits: int = 4) -> str:
    """A few significant digits, as a person writes them."""
    if value is None:
        return missing
    value = float(value)
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    mantissa = mantissa.replace("-", "−")
    if not e:
        return mantissa
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{power}"
