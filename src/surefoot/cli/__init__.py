"""The `surefoot` command."""

import os
import sys

# What `run` uses is imported inside of it, where an interrupt is caught: the script that an installer writes imports
# this module first, and prints a traceback if that is interrupted.

__all__ = ["main", "run"]

# Printed without Typer and Rich, which are what is missing.
NO_TYPER = "error: the surefoot command needs Typer and Rich\nhint: pip install '.[cli]' in a checkout of Surefoot"


def main() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run())


def run(arguments: list[str] | tuple[str, ...] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list or tuple of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0 done, 1 no advice (abstained, or a computation failed), 2 wrong usage or bad input, 130 interrupted.
    """
    try:
        return _call(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        from surefoot.cli._failures import say_interrupted

        return say_interrupted()
    except BrokenPipeError:
        # the reader left (head, less): nothing to say, and nowhere to say it when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _call(arguments: list[str]) -> int:
    from io import TextIOWrapper

    from surefoot.cli._failures import Stop, complain, of_any, say_interrupted

    for name in ("stdout", "stderr"):
        # None where the shell closed it (>&-): output goes nowhere, and the exit code says the rest
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        # a pipe on Windows has the machine's code page: a name that it cannot spell is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from surefoot.cli._verbs import command

        # standalone_mode=False: errors come here instead of being printed as boxes
        code = command().main(args=arguments or ["--help"], prog_name="surefoot", standalone_mode=False)
        sys.stdout.flush()
    except Stop as stop:
        return complain(stop)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in ("typer", "rich"):
            print(NO_TYPER, file=sys.stderr)
            return 1
        if os.environ.get("SUREFOOT_TRACEBACK"):
            raise
        return complain(of_any(error))
    return say_interrupted() if code == 130 else int(code or 0)
