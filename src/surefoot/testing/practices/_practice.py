"""What a practice is: a text, the beginning of an answer, and a check of the answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, SurefootError


class AnswerRaised(Exception):
    """An exception in the code that is checked, apart from those of the check."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of an answer.

    Parameters
    ----------
    right : bool
    reason : str
        Why it is wrong, or what a right answer shows.
    """

    right: bool
    reason: str

    def __str__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.reason}"

    def __bool__(self) -> bool:
        return self.right


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """One practice.

    Parameters
    ----------
    number : int
        From 1.
    title, task : str
        The task in plain words.
    starter : str
        Python with the function to be written.
    name : str
        Name of that function.
    page : str
        Where to read: a page of the documentation.
    judge : callable
        (function) to a Verdict. Where it raises, what the function returned cannot be used.
    """

    number: int
    title: str
    task: str
    starter: str
    name: str
    page: str
    judge: Callable[[Callable[..., Any]], Verdict] = field(repr=False)

    def check(self, answer: Callable[..., Any]) -> Verdict:
        """Judge an answer; an exception in it is reported, not raised.

        Parameters
        ----------
        answer : callable
            The function that the task asks for.

        Returns
        -------
        Verdict
        """
        if not callable(answer):
            return Verdict(False, f"give the function {self.name} itself; got a {type(answer).__name__}")

        def watched(*arguments: Any) -> Any:
            try:
                return answer(*arguments)
            except Exception as error:  # a student's code may raise anything
                raise AnswerRaised(f"{self.name} raised {type(error).__name__}: {error}") from error

        try:
            return self.judge(watched)
        except AnswerRaised as error:
            return Verdict(False, str(error))
        except SurefootError:  # the check itself cannot run: a library is missing
            raise
        except Exception as error:  # and may return anything
            return Verdict(False, f"what {self.name} returned cannot be used: {error}")


@checked
def practice(number: int) -> Practice:
    """One of the twelve practices.

    Parameters
    ----------
    number : int
        1 to 12.

    Raises
    ------
    InvalidInput
        If there is no such practice.

    Examples
    --------
    >>> from surefoot.testing import practice
    >>> print(practice(3).check(lambda Q: 1.0))
    Not yet: on a matrix with L = 4 your step 1 diverges; the limit is 2/L
    """
    found = {each.number: each for each in practices()}
    if number not in found:
        raise InvalidInput(f"there are practices 1 to {len(found)}; got {number!r}")
    return found[number]


def practices() -> tuple[Practice, ...]:
    """All of them, in order.

    Examples
    --------
    >>> from surefoot.testing.practices import practices
    >>> len(practices()), practices()[2].name
    (12, 'largest_step')
    """
    from surefoot.testing.practices import _course

    return _course.COURSE
