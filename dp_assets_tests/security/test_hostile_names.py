"""Names and addresses that somebody else wrote into the index or the annotations."""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from dp_assets.figures.preview import as_markdown
from dp_assets.figures.report_tables import report_table
from dp_assets.interchange.profile_export_table import export_csv
from dp_assets.storage.index_file import why_outside

FORMULA = '=HYPERLINK("http://127.0.0.1:9/?"&A1,"open me")'


@pytest.mark.parametrize(
    "alt",
    [
        "a](http://127.0.0.1:9/x) ![b",
        "a\\](javascript:alert(1)) [b",
        "a\n\n# heading\n![x](http://127.0.0.1:9/)",
        "<img src=x onerror=alert(1)>",
    ],
)
def test_text_beside_a_picture_makes_no_link_and_no_picture(alt: str) -> None:
    markdown = as_markdown(b"png", alt)
    assert "\n" not in markdown
    text, _, target = markdown.removeprefix("![").rpartition("](")
    assert target == "data:image/png;base64,cG5n)"
    # every bracket of the text is escaped: an odd number of backslashes before it
    for place, character in enumerate(text):
        if character in "[]":
            before = text[:place]
            assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://images.example.org.attacker.example/a.tif",
        "https://images.example.org@attacker.example/a.tif",
        "https://images.example.org/screen/../../other/a.tif",
        "file:///proc/self/environ",
        "simplecache::http://169.254.169.254/a.tif",
        "zip://a.tif::https://attacker.example/a.zip",
    ],
)
def test_index_sends_nobody_to_other_servers(address: str) -> None:
    roots = ("https://images.example.org/screen",)
    assert why_outside("https://images.example.org/screen/a.tif", roots) is None
    assert why_outside(address, roots) is not None


def test_exported_names_are_the_names_formulas_too(tmp_path: Path) -> None:
    """They are data for programs: with something in front they would be other treatments."""
    table = pa.table({"Metadata_Treatment": [FORMULA, "+1", "@x"], "f0": pa.array([1, 2, 3], pa.float32())})
    path = export_csv(table, tmp_path / "profiles.csv")
    assert pd.read_csv(path)["Metadata_Treatment"].tolist() == [FORMULA, "+1", "@x"]


def test_reports_hold_hostile_cells_as_text() -> None:
    from dp_assets.figures.evaluation_report import evaluation_report

    evil = '"><img src=x onerror="alert(1)"><a href="javascript:alert(1)">'
    tables = [(evil, pd.DataFrame({evil: [evil, "|"], "value": [1.0, 2.0]}, index=[evil, "'"]))]
    assert report_table(*tables[0]).rows
    page = evaluation_report(
        title=evil, scores=[], pictures=[(evil, evil, PNG)], tables=tables, facts={evil: evil}
    )
    parser = _Tags()
    parser.feed(page.decode())
    assert parser.events == []
    assert all(value.startswith(("#", "data:")) for value in parser.addresses)


class _Tags(HTMLParser):
    """Attributes that run something, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.events += [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


PNG = b"\x89PNG\r\n\x1a\n"
