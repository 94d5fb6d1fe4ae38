"""The view of advice: the answer for each target, then each method with its evidence."""

from collections.abc import Sequence
from importlib import import_module

from surefoot.report import _advice_figures as figures
from surefoot.report._code import line_of
from surefoot.report._numbers import number, rate
from surefoot.report._page import Cell, Figure, Page, Record, Section, Table

# Name of a limit, its entry in the record, and what it is.
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
    "residual stability": "surefoot.report._residual",
    "width study": "surefoot.report._width",
}


def page(advices: Sequence[Record]) -> Page:
    """Everything on the page.

    Parameters
    ----------
    advices : sequence of mapping
        Records of kind "advice".
    """
    several = len(advices) > 1
    rows = [
        # a target's name up to its details
        (f"{advice['target'].partition(':')[0]}: {r['label']}" if several else r["label"], r)
        for advice in advices
        for r in advice["recommendations"]
    ]
    sections = [_target(advice, f"target-{i}") for i, advice in enumerate(advices, 1)]
    if any(record["trials"] for _, record in rows):
        sections.append(_overview(rows))
    for i, advice in enumerate(advices, 1):
        about = advice["target"] if several else ""
        sections += [
            _method(record, advice, f"target-{i}-{j}", about) for j, record in enumerate(advice["recommendations"], 1)
        ]
        sections += [import_module(DETAILS[d["kind"]]).section(d) for d in advice.get("details", [])]
    return Page(
        title="How big a step should I take?",
        subject=" · ".join(advice["target"] for advice in advices),
        sections=sections,
        trust=[
            f"{_certainty([r for _, r in rows])} A linear limit says where a step would be unstable on the quadratic "
            "model of the loss at the start (or, for a convex problem, on the sharpest quadratic that fits anywhere). "
            "It is a claim about that model. For a network the curvature changes as soon as training moves, so the "
            "suggested step comes from short real runs alone, and it is a suggestion for the beginning of a run: it "
            "knows nothing of what happens later.",
            f"Cost. {'; '.join(map(_cost, advices))}.",
        ],
    )


def _target(advice: Record, anchor: str) -> Section:
    """The answer for a target: every method in a row, its finding under it."""
    # anchors go by the order of the record, rows by the ranking
    order = sorted(enumerate(advice["recommendations"], 1), key=lambda pair: advice["ranking"].index(pair[1]["label"]))
    heads = (
        "method",
        "suggested step",
        "label",
        "loss after it",
        "usable in short runs",
        "linear limit",
        "checked",
        "largest curvature",
    )
    rows = [_summary(r, f"{anchor}-{i}") for i, r in order]
    answer = advice["answer"].removesuffix(f" for {advice['target']}")
    chosen = order[0][1] if order and order[0][1]["suggested"] is not None else None
    return Section(
        title=advice["target"],
        anchor=anchor,
        word="No advice" if advice["abstained"] else answer[:1].upper() + answer[1:],
        mood="good" if chosen else "limit",
        lead=advice["abstained"] or _evidence(chosen, advice["recommendations"]),
        code="" if chosen is None else line_of(chosen["label"], chosen["suggested"]),
        facts=list(advice["description"].items()),
        tables=[Table(heads=heads, rows=rows, notes=[r["finding"] for _, r in order])] if rows else [],
    )


def _summary(record: Record, anchor: str) -> tuple[str | Cell, ...]:
    claims = _claims(record)
    wrong = claims != [] and not all(claims)
    return (
        Cell(record["label"], anchor=anchor),
        Cell(number(record["suggested"]), mood="good" if record["suggested"] is not None else "none", strong=True),
        record["label_of_step"] or "–",
        number(record["reached"] if record["suggested"] is not None else None),
        _range(record["usable"]),
        number(record["limits"]["curvature_limit"]),
        Cell(_agreement(record), mood="bad" if wrong else ""),
        _interval(record["spectrum"]["largest"]),
    )


def _evidence(chosen: Record | None, recommendations: Sequence[Record]) -> str:
    """What stands behind the step: the runs that were made, the theorem that covers it."""
    if chosen is None:
        return "No short run did well enough; the findings say why."
    proved = [chosen, *recommendations] if chosen["proved"] else recommendations
    proof = next((r for r in proved if r["proved"]), None)
    tried = f"TRIED: short real runs took the loss to {number(chosen['reached'])}."
    if proof is None:
        return tried
    return f"{tried} PROVED: {proof['label']} converges at every step below {number(proof['proved'])}."


def _claims(record: Record) -> list[bool]:
    return [run["agrees"] for run in record["verification"] if run["agrees"] is not None]


def _agreement(record: Record) -> str:
    claims = _claims(record)
    return f"{sum(claims)}/{len(claims)} agree" if claims else "–"


def _overview(rows: Sequence[tuple[str, Record]]) -> Section:
    caption = (
        "Where short real runs did well, and what the linear theory allows. A limit to the left of the usable range "
        "means that it is cautious here; one to the right, that the runs met larger curvatures on their way."
    )
    return Section(
        title="All methods side by side", figures=[Figure(drawing=figures.overview(rows), caption=caption, wide=True)]
    )


def _method(record: Record, advice: Record, anchor: str, about: str) -> Section:
    """Everything on one method."""
    tables = [_limits(record), _spectrum(record["spectrum"])]
    if record["verification"]:
        heads = ("run at", "step", "theory", "seen", "verdict")
        rows = [_run(run) for run in record["verification"]]
        tables.append(Table(title="The limit put to the test", about=_agreement(record), heads=heads, rows=rows))
    if record["trials"]:
        rows = [(number(t["step"]), number(t["final"], "not finite"), t["ending"]) for t in record["trials"]]
        heads = ("step", "loss at the end", "outcome")
        tables.append(Table(title="Short real runs", about=f"{len(rows)} runs", heads=heads, rows=rows))
    return Section(
        title=record["label"],
        about=about,
        anchor=anchor,
        lead=record["finding"],
        notes=[record["note"]] if record["note"] else [],
        figures=_figures(record, advice),
        tables=tables,
    )


def _limits(record: Record) -> Table:
    limits = record["limits"]
    reasons = limits["reasons"]
    rows = [
        (name, (rate if name == "rate" else number)(limits[key]), meaning, reasons.get(name, ""))
        for name, key, meaning in LIMIT_ROWS
    ]
    condition = _interval(limits["condition"])
    rows.append(("condition", condition, "largest over smallest curvature", reasons.get("condition", "")))
    return Table(
        title=f"Limits of {limits['method']}",
        about="for the whole problem" if limits["scope"] == "global" else "linear claim at the start",
        open=True,
        heads=("", "step or rate", "what it is", "where it comes from"),
        rows=rows,
        note=reasons.get("tuned", ""),
    )


def _figures(record: Record, advice: Record) -> list[Figure]:
    """The figures that there is something to draw for, each with what it shows."""
    drawn = [
        Figure(
            title="How sharp is the problem?",
            drawing=figures.spectrum(record),
            caption="Eigenvalues of the curvature, and the interval in which each end lies.",
        )
    ]
    if record["amplification"]:
        text = (
            "Worst over the curvatures that are not negative. Above 1 some direction grows with every step: "
            "the curve crosses 1 at the limit."
        )
        drawn.append(Figure(title="What does a step do to it?", drawing=figures.amplification(record), caption=text))
    if record["verification"]:
        what = record["verification"][0]["what"]
        text = f"The {what}, just below and just above the limit: the linear claim put to the test."
        drawn.append(Figure(title="Is the limit true?", drawing=figures.verification(record), caption=text))
    if record["trials"]:
        drawing = figures.final_loss(record, advice["initial_loss"], advice["constant_loss"])
        text = "Short real runs from the same start. The suggestion comes from these alone."
        drawn.append(Figure(title="What do real runs say?", drawing=drawing, caption=text))
    return drawn


def _run(run: Record) -> tuple[str, str, str, str, str]:
    verdict = {True: "agrees", False: "contradicts", None: "not decided"}[run["agrees"]]
    return f"{run['factor']:g} x limit", number(run["step"]), run["expected"] or "no claim", run["observed"], verdict


def _spectrum(record: Record) -> Table:
    return Table(
        title="Curvature",
        about=f"{record['provenance']} {record['of']}, {record['size']:,} eigenvalues, {record['products']:,} products",
        heads=("end", "interval", "how sure"),
        rows=[(name, _interval(record[name]), _trust(record[name])) for name in ("largest", "smallest")],
        note=record["note"],
    )


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
    if bounds["lower"] == bounds["upper"]:
        return number(bounds["lower"], digits=6)
    return f"[{number(bounds['lower'], digits=6)}, {number(bounds['upper'], digits=6)}]"


def _range(pair: Sequence[float] | None) -> str:
    if pair is None:
        return "–"
    return f"{number(pair[0])} only" if pair[0] == pair[1] else f"{number(pair[0])} to {number(pair[1])}"
