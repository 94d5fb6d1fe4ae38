"""Many short runs: bracket a rate, sweep, race, run."""

from surefoot.trials._contenders import Contender, contender, contender_names, known_of
from surefoot.trials._minimum import Minimum, minimum
from surefoot.trials._race import race
from surefoot.trials._race_result import Entry, Race
from surefoot.trials._run import Run, run
from surefoot.trials._sweep import FEWEST_STEPS, Outcome, Sweep, sweep

__all__ = [
    "contender",
    "contender_names",
    "known_of",
    "minimum",
    "race",
    "run",
    "sweep",
]
