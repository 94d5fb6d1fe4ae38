"""Numbers as a person writes them."""

import math

# Digits of an exponent.
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rate(value: float) -> str:
    """A contraction: its distance from 1 where that is what matters."""
    return f"1 − {number(1 - value)}" if 0.99 < value < 1 else number(value)


def number(value: float | None, missing: str = "–", *, digits: int = 4) -> str:
    """A few significant digits, as a person writes them."""
    if value is None or math.isnan(value):
        return missing
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    mantissa = mantissa.replace("-", "−")
    if not e:
        return mantissa
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"
