"""Names of plates, wells and sites: which can be keys and file names, and which look the same."""

import re
import unicodedata

PLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WELL_OR_SITE_NAME = re.compile(r"[^\x00-\x1f/\\|]+")
# Well and site together are part of one file name, and file systems allow 255 bytes.
LONGEST_NAME = 100
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Small Greek and Cyrillic letters, and the Latin ones that they, or their capitals, look like.
_LIKE_LATIN = str.maketrans(
    "αβεζηικμνορτυχавекмнорстухіјѕ",
    "abezhikmnoptyxabekmhopctyxijs",
)


def why_unusable(name: str, pattern: re.Pattern[str]) -> str | None:
    """Why a name cannot be a key and part of file names; None when it can."""
    if not name:
        return "it is empty"
    if len(name.encode(errors="replace")) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    if "..." in name or name in (".", ".."):
        return "dots in a row name a range or a folder"
    if not pattern.fullmatch(name):
        return "it holds characters that file names or partition keys cannot"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a space, or ends with a dot, which file systems and programs drop"
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        return "it holds a character that cannot be seen"
    if pattern is PLATE_NAME and _RESERVED.fullmatch(name):
        return "some file systems keep it for a device"
    return None


def looks(name: str) -> str:
    """What a name looks like: equal for names that people or file systems take for each other.

    They differ only in upper and lower case, in how Unicode spells the same letters, or in letters of other
    scripts that look the same.
    """
    return unicodedata.normalize("NFKC", name).casefold().translate(_LIKE_LATIN)
