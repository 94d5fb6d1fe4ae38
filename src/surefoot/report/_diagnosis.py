"""The view of a differential equation: what to integrate it with, and the runs that say so."""

from surefoot.report._numbers import number
from surefoot.report._page import Cell, Record, Section, Table, view


@view(
    title="What should integrate this equation?",
    trust="Eigenvalues of the Jacobian along one solution are a linear claim at each of its points; the method is "
    "chosen by the work of real runs at one tolerance. Work counts Jacobians and linear solves as evaluations.",
)
def page(diagnosis: Record) -> Section:
    t0, t1 = diagnosis["span"]
    return Section(
        title=diagnosis["target"],
        about=diagnosis["summary"],
        word=f"Take {diagnosis['method']}, {diagnosis['recommendation']}",
        mood="good" if diagnosis["verified"] else "limit",
        lead=f"{diagnosis['reason'][:1].upper()}{diagnosis['reason'][1:]}. "
        + ("The runs below bear it out." if diagnosis["verified"] else "The runs below do not bear it out."),
        code=f'trajectory = sf.integrate(f, ({t0:g}, {t1:g}), y0, method="{diagnosis["method"]}")',
        facts=[
            ("unknowns", f"{diagnosis['size']:,}"),
            ("stiffness ratio", number(diagnosis["stiffness"])),
            ("fastest decay", number(max(diagnosis["fastest"]))),
            ("largest frequency", number(max(diagnosis["frequency"]))),
            ("largest growth", number(max(diagnosis["growth"]))),
            ("steps for accuracy", f"{diagnosis['accuracy_steps']:,}"),
        ],
        tables=[
            Table(
                title="What ran",
                about=f"{len(diagnosis['trials'])} methods",
                open=True,
                heads=("method", "evaluations", "work", "seconds", "error"),
                rows=[_run(run, diagnosis["method"]) for run in diagnosis["trials"]],
                notes=["" if run["finished"] else run["message"] for run in diagnosis["trials"]],
            ),
            Table(
                title="What stability asks for",
                about="by the eigenvalues along the solution",
                heads=("method", "smallest stable step", "largest", "steps", "evaluations"),
                rows=[_cost(cost) for cost in diagnosis["costs"]],
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
