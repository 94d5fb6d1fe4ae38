"""The view of a differential equation: what to integrate it with, and the runs that say so."""

from surefoot.report._numbers import number
from surefoot.report._page import Cell, Record, Section, Table, view


def _section(found: Record) -> Section:
    t0, t1 = found["span"]
    return Section(
        title=found["target"],
        about=found["summary"],
        word=f"Take {found['method']}, {found['recommendation']}",
        mood="good" if found["verified"] else "limit",
        lead=f"{found['reason'][:1].upper()}{found['reason'][1:]}. "
        + ("The runs below bear it out." if found["verified"] else "The runs below do not bear it out."),
        code=f'trajectory = sf.integrate(f, ({t0:g}, {t1:g}), y0, method="{found["method"]}")',
        facts=[
            ("unknowns", f"{found['size']:,}"),
            ("stiffness ratio", number(found["stiffness"])),
            ("fastest decay", number(max(found["fastest"]))),
            ("largest frequency", number(max(found["frequency"]))),
            ("largest growth", number(max(found["growth"]))),
            ("steps for accuracy", f"{found['accuracy_steps']:,}"),
        ],
        tables=[
            Table(
                title="What ran",
                about=f"{len(found['trials'])} methods",
                open=True,
                heads=("method", "evaluations", "work", "seconds", "error"),
                rows=[_run(run, found["method"]) for run in found["trials"]],
                notes=["" if run["finished"] else run["message"] for run in found["trials"]],
            ),
            Table(
                title="What stability asks for",
                about="by the eigenvalues along the solution",
                heads=("method", "smallest stable step", "largest", "steps", "evaluations"),
                rows=[_cost(cost) for cost in found["costs"]],
            ),
        ],
    )


def _run(run: Record, chosen: str) -> list[str | Cell]:
    return [
        Cell(run["method"], strong=True, mood="good") if run["method"] == chosen else run["method"],
        f"{run['evaluations']:,}",
        number(run["work"]),
        number(run["seconds"], digits=2),
        number(run["error"], digits=2) if run["finished"] else Cell("gave up", mood="bad"),
    ]


def _cost(cost: Record) -> list[str]:
    # an implicit method has no limit of its own: its steps are those that accuracy asks for
    limited = cost["family"] != "implicit"
    steps = [
        number(cost[key], digits=3) if limited else "–" for key in ("smallest_step", "largest_step", "stability_steps")
    ]
    return [cost["method"], *steps, number(cost["evaluations"], digits=3)]


page = view(
    title="What should integrate this equation?",
    name=lambda found: found["target"],
    sections=lambda found: [_section(found)],
    trust="Eigenvalues of the Jacobian along one solution are a linear claim at each of its points; the method is "
    "chosen by the work of real runs at one tolerance. Work counts Jacobians and linear solves as evaluations.",
)
