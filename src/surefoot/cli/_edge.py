"""`surefoot run edge`: sharpness along training against the limit of the rate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._failures import bad_input
from surefoot.errors import InvalidInput, MissingExtra

__all__ = ["EDGE", "edge"]

EDGE = "edge"


def edge(*, as_json: bool, report: Path | None, rng: int, quiet: bool, options: Mapping[str, Any]) -> None:
    """Train at three rates of gradient descent and of Adam, and say where sharpness went.

    Parameters
    ----------
    as_json, report, rng, quiet
        As the verb has them.
    options : mapping
        The verb's other options by name; those given do not go with `edge`.
    """
    with bad_input():
        for name, value in options.items():
            if value is not None:
                raise InvalidInput(
                    f"{name} does not go with {EDGE}, which has rates and steps of its own; leave it out"
                )
        if report is not None:
            from surefoot.report import check_destination

            check_destination(report)
    try:
        from surefoot.training import edge_of_stability
    except ImportError as error:
        raise MissingExtra("edge trains a PyTorch network; pip install 'surefoot[training,data]'") from error
    with Meter(quiet=quiet) as meter:
        found = edge_of_stability(rng=rng, progress=meter)
    if as_json:
        print_json(found.to_dict())
    else:
        show_text(found)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(found.to_dict(), report)}", error=as_json)
