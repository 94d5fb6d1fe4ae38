"""The table of verbs, and the application that they make."""

from typing import Annotated, Any

import typer

from surefoot.cli._advise import advise
from surefoot.cli._audit import audit
from surefoot.cli._doctor import doctor
from surefoot.cli._list import list_
from surefoot.cli._networks import groups, noise, range_
from surefoot.cli._orbit import orbit
from surefoot.cli._play import play
from surefoot.cli._race import race
from surefoot.cli._recipes import clip, warmup
from surefoot.cli._region import region
from surefoot.cli._run import run
from surefoot.cli._scale import scale
from surefoot.cli._sweep import sweep
from surefoot.cli._verb import Verb, command_of
from surefoot.cli._why import why

# For a target that another verb was given, the first verb here that takes its kind is named.
VERBS = (
    Verb(
        function=advise,
        takes=("problem", "network", "ode", "target"),
        examples=("advise breast-cancer", "advise patients.csv --loss logistic --report ill.html"),
    ),
    Verb(
        function=run,
        takes=("problem", "network"),
        examples=("run quadratic --rule constant:1.9/L", "run digits --steps 500 --log digits.jsonl"),
    ),
    Verb(
        function=race,
        takes=("problem",),
        writes=("report", "svg", "png", "csv"),
        examples=("race quadratic --condition 1e6", "race digits-softmax --rules auto,bb,armijo --csv curves.csv"),
    ),
    Verb(
        function=region,
        writes=("report", "svg", "png", "csv"),
        examples=("region rk4", "region rkc10 --png rkc10.png"),
    ),
    Verb(
        function=orbit,
        takes=("map",),
        writes=("report", "svg", "png", "csv"),
        examples=("orbit rnn", "orbit cubic --low 1.5 --high 3 --png cubic.png"),
    ),
    Verb(
        function=sweep,
        takes=("problem", "network"),
        writes=("report", "svg", "png", "csv"),
        examples=("sweep quadratic", "sweep digits --samples 256 --low 0.01 --high 2 --png sweep.png"),
    ),
    Verb(
        function=audit,
        examples=(
            "audit log.csv --plan cosine:total=10000,warmup=500",
            "audit runs/ --plan linear:3e-4,total=1000 --report audit.html",
        ),
    ),
    Verb(
        function=why,
        examples=("why log.csv", "why runs/ --plan cosine:total=10000,warmup=500 --report why.html"),
    ),
    Verb(
        function=scale,
        writes=("report",),
        examples=("scale --lr 0.1 --batch 256 --to 1024", "scale --lr 3e-4 --batch 64 --to 512 --optimizer adamw"),
    ),
    Verb(
        function=range_,
        takes=("network",),
        examples=("range digits", "range digits --optimizer sgd --steps 200 --png range.png"),
    ),
    Verb(
        function=noise,
        takes=("network",),
        writes=("report",),
        examples=("noise digits", "noise mnist1d-cnn --json"),
    ),
    Verb(
        function=groups,
        takes=("network",),
        writes=("report",),
        examples=("groups char-transformer --lr 3e-3", "groups digits --optimizer sgd"),
    ),
    Verb(function=clip, writes=("report",), examples=("clip log.csv", "clip log.jsonl --clip 1.0 --column grad_norm")),
    Verb(
        function=warmup,
        writes=("report",),
        examples=("warmup --lr 1e-3 --beta2 0.999 --total 5000", "warmup --lr 0.1 --limits digits.jsonl"),
    ),
    Verb(function=doctor, writes=("csv",), examples=("doctor", "doctor --json")),
    Verb(function=play, writes=(), examples=("play", "play --save playground.html")),
    Verb(function=list_, writes=("csv",), examples=("list", "list --json")),
)


def command() -> Any:
    """The command behind the Typer application, with a `main` that takes arguments."""
    app = typer.Typer(
        name="surefoot",
        add_completion=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="How big a step should I take next? Measured step limits and learning rates, with evidence.",
    )
    app.callback()(surefoot)
    for verb in VERBS:
        examples = "\n\n".join(f"`surefoot {line}`" for line in verb.examples)
        app.command(name=verb.name, epilog=f"Examples:\n\n{examples}")(command_of(verb, VERBS))
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from surefoot import __version__

        print(f"surefoot {__version__}")
        raise typer.Exit


def surefoot(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """How big a step should I take next? Measured step limits and learning rates, with evidence."""
