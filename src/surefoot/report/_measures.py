"""Views of what is measured of a network before it is trained: its gradient noise, its groups of parameters."""

from surefoot.report._numbers import number
from surefoot.report._page import Cell, Record, Section, Table, view


@view(
    title="Which batch sizes pay?",
    trust="Measured at the start of training; the noise scale grows as the loss falls. The intervals assume noise that "
    "is not far from normal.",
)
def noise(measured: Record) -> Section:
    scale, bounds = measured["scale"], measured["scale_bounds"]
    known = scale is not None
    curved = [] if measured["curvature_scale_bounds"] is None else [("with curvature", "curvature_scale")]
    rows = [
        ("variance of one sample", "variance"),
        ("square of the mean gradient", "square"),
        ("noise scale in samples", "scale"),
        *curved,
    ]
    return Section(
        title=measured["target"],
        word=f"Noise scale {number(scale, digits=3)} samples"
        if known
        else f"Noise scale at least {number(bounds['lower'], digits=3)} samples",
        mood="good" if known else "limit",
        lead="The steps that a run needs grow as 1 + noise scale / batch: twice the fewest at a batch of this size, "
        "1.1 times at ten of it (McCandlish et al. 2018).",
        facts=[("samples", f"{measured['samples']:,.0f}"), ("from", measured["source"])],
        notes=[measured["note"]] if measured["note"] else [],
        tables=[
            Table(
                heads=("measured", "value", "from", "to"),
                rows=[
                    (
                        name,
                        number(measured[key]),
                        number(measured[f"{key}_bounds"]["lower"]),
                        number(measured[f"{key}_bounds"]["upper"]),
                    )
                    for name, key in rows
                ],
            )
        ],
    )


@view(
    title="Which rate for which group?",
    trust="The curvature and the noise of each group are measured; what follows from them for its rate is a heuristic "
    "that was compared with one rate for all, not proved.",
)
def groups(advice: Record) -> Section:
    rates = [group["rate"] for group in advice["evidence"]]
    least, most = min(rates), max(rates)
    spread = (
        f"{number(least, digits=3)} to {number(most, digits=3)}" if most > least else f"{number(most, digits=3)} each"
    )
    return Section(
        title=advice["target"],
        word=f"{len(rates)} groups, rates {spread}",
        mood="good",
        lead="Each group has a rate and a schedule of its own.",
        code="optimizer = type(optimizer)(suggest_groups(model, loss, data, optimizer).param_groups)",
        tables=[
            Table(
                heads=("group", "size", "curvature", "noise", "rate", "schedule"),
                rows=[
                    (
                        group["name"],
                        f"{group['size']:,}",
                        number(group["curvature"]["upper"], digits=3),
                        number(group["noise"], digits=2),
                        Cell(number(group["rate"], digits=3), mood="good", strong=True),
                        group["schedule"],
                    )
                    for group in advice["evidence"]
                ],
                notes=[group["reason"] for group in advice["evidence"]],
            )
        ],
    )
