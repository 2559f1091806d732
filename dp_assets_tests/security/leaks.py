"""Finds secrets in whatever a project has written."""

import base64
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path


def planted_secrets() -> dict[str, str]:
    """Environment variables as a user sets them; each value holds a text that occurs nowhere else."""
    word = {name: f"Secret{number}Zq7xW9" for number, name in enumerate(_VALUES)}
    return {name: value.format(word[name]) for name, value in _VALUES.items()}


def words_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Variable -> the text in its value that must not occur anywhere."""
    words = {}
    for name, value in variables.items():
        start = value.index("Secret")
        words[name] = value[start : start + value[start:].index("W9") + 2]
    return words


def leaks(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """ "variable in file" for every secret in a file below a folder, also inside archives and as base64."""
    sought = {name: _spellings(value, words_of(variables)[name]) for name, value in variables.items()}
    return [
        f"{name} in {path}"
        for path, content in _contents(folder)
        for name, spellings in sought.items()
        if any(spelling in content for spelling in spellings)
    ]


def _spellings(value: str, word: str) -> list[bytes]:
    # In base64 a text looks otherwise at each of three offsets; its ends depend on what is around it.
    encoded = [base64.b64encode(bytes(shift) + word.encode())[4:-4] for shift in range(3)]
    wide = word.encode("utf-16-le")
    return [word.encode(), wide, *encoded]


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        yield name, path.name.encode() + path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    yield f"{name}: {member}", archive.read(member)


_VALUES = {
    "COMET_API_KEY": "{}",
    "SLACK_BOT_TOKEN": "xoxb-{}",
    "DP_MAIL_PASSWORD": "{}",
    "AWS_ACCESS_KEY_ID": "AKIA{}",
    "AWS_SECRET_ACCESS_KEY": "{}/+",
    "DP_POSTGRES_URL": "postgresql://dp:{}@127.0.0.1:9/dp",
    "DP_BROKER_URL": "redis://:{}@127.0.0.1:9/0",
    "MLFLOW_TRACKING_PASSWORD": "{}",
}
