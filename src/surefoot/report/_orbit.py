"""The view of a map's orbits: where its periods double, and how many steps lead where."""

from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section, Table, view


@view(
    title="Where does each step lead?",
    trust="Doublings are solved for, not read off the picture. A period is seen within a tolerance and up to a largest "
    "one; an orbit that still creeps is called undecided.",
)
def page(orbit: Record) -> Section:
    doublings = orbit["cascade"]["doublings"]
    first = doublings[0] if doublings else None
    return Section(
        title=orbit["system"],
        word="No period doubling"
        if first is None
        else f"Converges up to {number(first['parameter'], digits=6)}"
        if first["period"] == 1
        else f"Period {first['period']} doubles at {number(first['parameter'], digits=6)}",
        mood="limit" if first is None else "good",
        lead=f"Doublings of the period: {orbit['cascade']['reason']}.",
        figures=[
            Figure(
                caption="Where orbits settle at each step, the doublings marked; below, the period and the Lyapunov "
                "exponent, which is positive where orbits are chaotic.",
                wide=True,
            )
        ],
        tables=[
            Table(
                heads=("from", "to", "at the step"),
                rows=[
                    (f"period {d['period']}", f"period {2 * d['period']}", number(d["parameter"], digits=12))
                    for d in doublings
                ],
            )
        ]
        if doublings
        else [],
        text=orbit["said"],
    )
