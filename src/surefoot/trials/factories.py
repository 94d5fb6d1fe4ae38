"""Objects of a user's own, by the name ``module:factory``: a function without arguments in an importable module."""

import importlib
import inspect
import sys
from collections.abc import Collection, Generator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from surefoot.errors import InvalidInput, InvalidType, SurefootError, UnknownTarget

__all__ = ["make", "make_unless_named"]


def make(name: str) -> Any:
    """Call a user's factory and return what it makes.

    Parameters
    ----------
    name : str
        ``module:factory``. The module is looked up in the current folder first, then as any import is. A name that
        stands for neither a function nor a class is the object itself.

    Returns
    -------
    object

    Raises
    ------
    UnknownTarget
        If there is no such module, or nothing of that name in it.
    InvalidInput
        If importing the module or calling the factory raises, or the factory wants arguments.

    Examples
    --------
    >>> from surefoot.trials.factories import make
    >>> make("collections:OrderedDict")
    OrderedDict()
    """
    module_name, _, attribute = name.partition(":")
    plain = all(part.isidentifier() for part in (*module_name.split("."), attribute))
    # a module called py may be there, the name of a file is what people type
    if not plain or module_name.endswith(".py"):
        raise UnknownTarget(f"{name!r} is not of the form module:factory; for my_model.py write my_model:factory")
    with _current_folder_importable():
        return _call(_attribute(_import(module_name), attribute), name)


def make_unless_named(name: str, names: Collection[str]) -> Any | None:
    """What a user's factory makes; None where the part before the colon is one of our names, right or misspelt.

    Parameters
    ----------
    name : str
        ``module:factory``, or a name of ours with an argument such as ``constant:0.1``.
    names : collection of str
        Our names, which come first.

    Raises
    ------
    InvalidType
        If the factory returns nothing.
    UnknownTarget, InvalidInput
        As `make`.

    Examples
    --------
    >>> from surefoot.trials.factories import make_unless_named
    >>> make_unless_named("constant:safe", ["constant"]), make_unless_named("constnat:safe", ["constant"])
    (None, None)
    """
    word, _, attribute = name.partition(":")
    if word in names or not attribute.isidentifier():
        return None
    try:
        made = make(name)
    except UnknownTarget as error:
        # constnat:safe is no module of anybody's but a name of ours misspelt, of which the parser says so
        if isinstance(error.__cause__, ModuleNotFoundError) and get_close_matches(word, names, n=1):
            return None
        raise
    if made is None:
        raise InvalidType(f"{name}() returned None; end it in a return of what it makes")
    return made


@contextmanager
def _current_folder_importable() -> Generator[None]:
    """As ``python -m`` does; a command that is a script has its own folder there instead."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise _failure(f"importing {module_name}", error) from error
        raise UnknownTarget(
            f"there is no module {module_name}; run the command from the folder that holds "
            f"{module_name.replace('.', '/')}.py"
        ) from error
    except (Exception, SystemExit) as error:
        raise _failure(f"importing {module_name}", error) from error


def _attribute(module: ModuleType, attribute: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        near = get_close_matches(attribute, [name for name in vars(module) if not name.startswith("_")], n=1)
        hint = f"did you mean {near[0]}?" if near else "define a function of that name"
        raise UnknownTarget(f"{module.__name__} has no {attribute}; {hint}") from error


def _call(factory: Any, name: str) -> Any:
    if not inspect.isroutine(factory) and not inspect.isclass(factory):
        return factory
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise InvalidInput(
            f"{name} must be callable without arguments ({error}); "
            "give its parameters defaults, or wrap it in a function"
        ) from error
    except ValueError:
        pass  # a builtin without a signature: the call will tell
    try:
        return factory()
    except SurefootError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(f"{name}()", error) from error


def _failure(what: str, error: BaseException) -> InvalidInput:
    message = " ".join(str(error).split())
    return InvalidInput(f"{what} raised {type(error).__name__}{': ' if message else ''}{message}")
