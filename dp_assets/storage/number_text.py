"""Numbers written as text, in one form: doses that programs write as 3.000000, 3.0 and 3 are the same."""

from decimal import Decimal, InvalidOperation

# Beyond this many digits before or after the point a number stays as it is written.
_MOST_DIGITS = 30


def plain_number(text: str) -> str | None:
    """A number in its shortest form: 3.000000 as 3, 0.30 as 0.3, 1e-3 as 0.001; None when it is no number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or "_" in text:
        return None
    if number.is_zero():
        return "0"
    if abs(number.adjusted()) > _MOST_DIGITS:
        return text
    return format(number.normalize(), "f")
