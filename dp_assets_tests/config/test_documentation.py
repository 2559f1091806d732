"""docs/configuration.md describes every key of the settings, and no other."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dp_assets.config.network import CROP_GENERATORS
from dp_assets.config.project import ProjectSettings
from dp_assets.config.spellings import OLDER_SPELLINGS, WITHOUT_EFFECT
from dp_assets.config.unknown_keys import SECTIONS
from dp_assets_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "configuration.md"
DESCRIBED: dict[str, type[BaseModel]] = {**SECTIONS, "project.yaml": ProjectSettings}
REQUIRED, NOTHING = "required", "-"


@pytest.fixture(scope="module")
def page() -> str:
    """The text of the page."""
    return PAGE.read_text(encoding="utf-8")


def rows_under(page: str, heading: str) -> list[list[str]]:
    """The cells of every table row between a heading and the next one, without head and rule."""
    _, found, rest = page.partition(f"\n{heading}\n")
    assert found, f"docs/configuration.md has no heading {heading!r}"
    part = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip().strip("|").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def stated_default(field: FieldInfo) -> Any:
    """The default of a setting as the page is to give it."""
    if field.is_required():
        return REQUIRED
    default = field.get_default(call_default_factory=True)
    return NOTHING if default is None else json.dumps(default)


@pytest.mark.parametrize("section", DESCRIBED)
def test_every_key_is_described_with_its_default_and_no_other_is(page: str, section: str) -> None:
    rows = rows_under(page, f"### `{section}`")
    described = {row[0].strip("`"): row[2].strip("`") for row in rows}
    assert described == {
        name: stated_default(field) for name, field in DESCRIBED[section].model_fields.items()
    }
    assert len(described) == len(rows), f"{section}: a key is described twice"
    assert all(len(row) == 5 and row[4] for row in rows), f"{section}: a row without meaning"


def test_every_section_of_the_page_is_one_of_the_settings(page: str) -> None:
    assert set(re.findall(r"^### `(.+)`$", page, re.MULTILINE)) == set(DESCRIBED)


def test_older_spellings_are_those_understood(page: str) -> None:
    rows = [tuple(cell.strip("`") for cell in row) for row in rows_under(page, "## Older spellings")]
    assert set(rows) == {
        (section, older, current)
        for section, spellings in OLDER_SPELLINGS.items()
        for older, current in spellings.items()
    }
    renamed = {older for older, name in CROP_GENERATORS.items() if older != name}
    assert all(f"`{older}`" in page for older in renamed)


def test_keys_without_effect_are_those_accepted(page: str) -> None:
    rows = rows_under(page, "## Keys without effect")
    listed = {
        row[0].strip("`").replace("top level", ""): set(re.findall("`([^`]+)`", row[1])) for row in rows
    }
    # the remark on when these two have no effect names the section that has them now
    listed["train.sampling"].discard("dataset.locations")
    assert listed == {section: set(keys) for section, keys in WITHOUT_EFFECT.items()}


def test_every_crop_generator_is_described(page: str) -> None:
    row = next(row for row in rows_under(page, "### `train.model`") if row[0] == "`crop_generator`")
    assert set(re.findall(r"`(\w*crop_?gen\w*)`", row[4])) == set(CROP_GENERATORS.values())
