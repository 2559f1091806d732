"""docs/configuration.md describes every key of the settings, and no other."""

import json
import re
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dp_assets.config.checks import USUAL_SEVERITY
from dp_assets.config.evaluation_sections import Metric
from dp_assets.config.network import CROP_GENERATORS
from dp_assets.config.presets import PRESETS
from dp_assets.config.project import PROJECT_SECTIONS
from dp_assets.config.spellings import OLDER_SPELLINGS, WITHOUT_EFFECT
from dp_assets.config.unknown_keys import SECTIONS
from dp_assets.storage.profile_columns import ROLES
from dp_assets_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "configuration.md"
DESCRIBED: dict[str, type[BaseModel]] = {
    **SECTIONS,
    **{section or "project.yaml": model for section, model in PROJECT_SECTIONS.items()},
}
REQUIRED, NOTHING, BELOW = "required", "-", "see below"


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
    if isinstance(default, BaseModel):
        return BELOW
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


def test_other_spellings_are_those_understood(page: str) -> None:
    rows = [tuple(cell.strip("`") for cell in row) for row in rows_under(page, "## Other spellings")]
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


def test_presets_are_those_of_the_program(page: str) -> None:
    text = page.partition("\n## Presets of profiles and scores\n")[2].partition("\n## ")[0]
    first, second = (
        [line for line in part.splitlines() if line.startswith("| `")] for part in text.split("Besides:")
    )
    assert len(first) == len(second) == len(PRESETS)
    for line, more in zip(first, second, strict=True):
        name, cells, well, treatment, scale, correction, regularization = cells_of(line)
        values = PRESETS[name.strip("`")]
        assert (cells, well) == (values.cells.aggregation, values.cells.well_aggregation)
        assert treatment == f"{values.treatments.aggregation} of {values.treatments.source}s"
        assert scale == values.normalization.method
        method = values.correction.method
        assert correction == (method if method == "none" else f"{method} of {values.level}s")
        if method != "none":
            assert float(regularization) == values.correction.regularization
        name, controls, separator, left_out, expected = cells_of(more)
        assert PRESETS[name.strip("`")] is values
        assert separator == ("separated by a vertical bar" if values.label_separator == "|" else "one")
        named = [*values.columns.control[:1], *values.columns.control_values]
        assert re.findall("`([^`]+)`", controls) == (named or ["dataset.metadata"])
        assert ("without label" in left_out) == values.labelled_only
        assert all(
            f"`{value}`" in left_out for value in (*values.exclude_from_wells, *values.excluded_labels)
        )
        counts = [count for count in (values.expected.treatments, values.expected.labels) if count]
        assert [int(number) for number in re.findall(r"\d+", expected)] == counts


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" |")]


def test_usual_names_of_columns_are_those_searched(page: str) -> None:
    rows = {row[0].split(",")[0]: row for row in rows_under(page, "## Which columns say what a well is")}
    usual = PRESETS["custom"].columns
    for role in ("compound", "concentration", "label", "batch", "replicate"):
        assert tuple(re.findall("`([^`]+)`", rows[role][2])) == getattr(usual, role)
    assert {re.findall("`([^`]+)`", row[0])[0] for row in rows.values()} == set(ROLES)
    for row in rows.values():
        section, _, key = row[1].strip("`").rpartition(".")
        assert key in SECTIONS[section].model_fields


def test_every_metric_is_explained(page: str) -> None:
    text = page.partition("\nThe metrics: ")[2].partition("\n\n")[0]
    assert set(get_args(Metric)) <= set(re.findall("`([^`]+)`", text))


def test_every_crop_generator_is_described(page: str) -> None:
    row = next(row for row in rows_under(page, "### `train.model`") if row[0] == "`crop_generator`")
    assert set(re.findall(r"`(\w*crop_?gen\w*)`", row[4])) == set(CROP_GENERATORS.values())


def test_severities_are_those_of_the_program(page: str) -> None:
    rows = rows_under(page, "#### Severity")
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == USUAL_SEVERITY
