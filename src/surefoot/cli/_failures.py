"""What went wrong, as one line and a hint; never a traceback."""

import errno
import sys
from collections.abc import Generator
from contextlib import contextmanager

from surefoot.errors import InvalidInput, InvalidType, MissingExtra, SurefootError

# By convention of shells: 1 a failure, 2 wrong usage, 128 + 2 an interrupt by SIGINT.
FAILED, USAGE, INTERRUPTED = 1, 2, 130
# Clauses after the last semicolon of a message that belong to what was wrong rather than say what would fix it.
NOT_A_HINT = ("got ", "expected ", "the smallest ", "at least ", "at most ")


class Stop(Exception):
    """The command ends here, with something to say.

    Parameters
    ----------
    message, hint : str
    code : int
        Exit code.
    """

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


@contextmanager
def bad_input() -> Generator[None]:
    """Errors of Surefoot's own are the input's fault in here, not the computation's.

    Raises
    ------
    Stop
        In their place, with the exit code of bad input.
    """
    try:
        yield
    except MissingExtra:
        raise
    except (InvalidInput, InvalidType) as error:
        raise _of(str(error), USAGE) from error


def of_any(error: Exception) -> Stop:
    """The end that an exception means."""
    if isinstance(error, SurefootError):
        return _of(str(error), FAILED)
    usage = getattr(error, "format_message", None)
    if usage is not None:  # how Typer (and Click, which older ones build on) says that the command line is wrong
        return _usage(error, usage())
    if isinstance(error, RuntimeError) and type(error).__name__ == "Abort":
        return Stop("interrupted", code=INTERRUPTED)
    if isinstance(error, ImportError) and error.name:
        return Stop(f"the package {error.name} is not installed", f"pip install {error.name}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Stop("no space left where the output goes", "make room, or write elsewhere")
    if isinstance(error, MemoryError):
        return Stop("out of memory", "give a smaller target, or a machine with more memory")
    message = " ".join(str(error).split())
    return Stop(
        f"{type(error).__name__}: {message}" if message else type(error).__name__,
        "Surefoot did not expect this: look at the target, or set SUREFOOT_TRACEBACK=1 to see where",
    )


def complain(stop: Stop) -> int:
    """Say it on stderr, in one line and a hint; returns the exit code."""
    print(f"error: {stop.message}", file=sys.stderr)
    if stop.hint:
        print(f"hint: {stop.hint}", file=sys.stderr)
    return stop.code


def say_interrupted() -> int:
    """Say that the user stopped it."""
    return complain(Stop("interrupted", code=INTERRUPTED))


def _usage(error: Exception, message: str) -> Stop:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "surefoot")
    message = " ".join(message.split())
    return Stop(message[:1].lower() + message[1:].rstrip("."), f"{path} --help", getattr(error, "exit_code", USAGE))


def _of(message: str, code: int) -> Stop:
    """Messages put what would fix it after the last semicolon."""
    message = " ".join(message.split())
    what, semicolon, fix = message.rpartition("; ")
    if not semicolon or fix.startswith(NOT_A_HINT):
        return Stop(message, "", code)
    return Stop(what, fix, code)
