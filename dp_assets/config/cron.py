"""Times of day and week as cron writes them, checked here so that a mistake has a file and a key."""

import re
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# name, smallest value, largest value, words for values
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, WEEKDAYS),
)
LONGEST_MONTH = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")


def cron_problem(text: str) -> str | None:
    """What is wrong with a cron line of five fields; None when nothing is."""
    words = text.lower().split()
    if len(words) != len(FIELDS):
        return f"expected five fields (minute, hour, day, month, day of the week), found {len(words)}"
    values = []
    for word, (name, least, most, names) in zip(words, FIELDS, strict=True):
        found: set[int] = set()
        for part in word.split(","):
            numbers = _numbers(part, least, most, names)
            if numbers is None:
                return f"expected the {name} from {least} to {most}, found {part!r}"
            found |= numbers
        values.append(found)
    _, _, days, months, _ = values
    # also where a day of the week is named: Dagster looks for the day of the month first
    if not any(day <= LONGEST_MONTH[month] for day in days for month in months):
        return "this day never comes"
    return None


def _numbers(part: str, least: int, most: int, names: tuple[str, ...]) -> set[int] | None:
    """The values that one part of a field stands for; None when it is not one."""
    match = PART.fullmatch(part)
    if match is None:
        return None
    first, last, step = match[1], match[2], match[3]
    if first == "*":
        low, high = (least, most) if last is None else (None, None)
    else:
        low = _number(first, least, names)
        high = low if last is None else _number(last, least, names)
        if last is None and step is not None:
            high = most
    if low is None or high is None or not least <= low <= high <= most or step == "0":
        return None
    return set(range(low, high + 1, int(step or 1)))


def _number(word: str, least: int, names: tuple[str, ...]) -> int | None:
    if word in names:
        return names.index(word) + least
    return int(word) if word.isdecimal() else None


def timezone_problem(name: str) -> str | None:
    """Why a name is no time zone of this machine; None when it is one."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return "expected a time zone of the IANA list"
    return None
