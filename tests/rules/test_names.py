import pytest

from surefoot.errors import InvalidInput
from surefoot.rules.names import parse_name, parse_number

TAKES = {"auto": "", "constant": "STEP", "cosine": "RATE,KEY=VALUE"}


@pytest.mark.parametrize(
    ("text", "word", "argument", "options"),
    [
        (" auto ", "auto", "", {}),
        ("constant:1.9/L", "constant", "1.9/L", {}),
        ("cosine", "cosine", "", {}),
        ("cosine:3e-4", "cosine", "3e-4", {}),
        ("cosine:total=10, warmup=2", "cosine", "", {"total": "10", "warmup": "2"}),
        ("cosine:3e-4,total=10,", "cosine", "3e-4", {"total": "10"}),
    ],
)
def test_a_name_comes_apart_at_its_colon_its_commas_and_its_equals_signs(text, word, argument, options):
    name = parse_name(text, TAKES)
    assert (name.word, name.argument, name.options) == (word, argument, options)
    assert name.text == text.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("constnat", "unknown rule 'constnat'; did you mean constant"),
        ("xyz", "unknown rule 'xyz'; choose one of auto, constant, cosine"),
        ("auto:1", "the rule auto takes no argument; got '1'"),
        ("cosine:total=10,3e-4", "'3e-4' has no key; write cosine:rate,key=value"),
    ],
)
def test_what_a_name_does_not_take_is_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_name(text, TAKES)


@pytest.mark.parametrize("text", ["", "ten", "nan", "inf"])
def test_only_finite_numbers_are_numbers(text):
    with pytest.raises(InvalidInput, match=f"x takes a number; got '{text}'; write 1"):
        parse_number(text, "x takes a number", hint="write 1")


def test_a_positive_number_is_above_zero():
    assert parse_number("-2", "x takes a number") == -2
    with pytest.raises(InvalidInput, match="got '0'"):
        parse_number("0", "x takes a positive number", positive=True)
