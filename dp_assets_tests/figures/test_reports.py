"""The reports stand alone, escape what users wrote, and say n, what was left out and why."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dp_assets.figures.comparison_report import comparison_report
from dp_assets.figures.confusion import confusion_figure
from dp_assets.figures.evaluation_report import evaluation_report
from dp_assets.figures.report_scores import best_of, exclusions, number_text, score_row
from dp_assets.figures.report_tables import report_table

EVIL = "<script>alert(1)</script>"
PNG = confusion_figure(pd.DataFrame([[1, 2], [3, 4]], list("ab"), list("ab")))


def score(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    plain = {
        "low": None,
        "high": None,
        "n": 103,
        "unit": "treatments",
        "protocol": f"protocol of {name}",
        "excluded": {},
        "chance": None,
        "higher_is_better": True,
        "reason": "",
        "details": {},
    }
    return {"name": name, "value": value, **plain, **more}


SCORES = [
    score("nsc", 0.9708, low=0.93, high=0.99, chance=0.11, details={"ties": 2.0}),
    score("nscb", 0.87, n=92, excluded={f"a single batch {EVIL}": 11}),
    score("nscb_strict", 0.85, n=92, excluded={f"a single batch {EVIL}": 11}),
    score("drop", -0.1, low=-0.2, high=0.05, higher_is_better=False),
    score("enrichment", 27.33, low=np.nan, chance=1.0),
    score("classifier_cells", None, n=0, reason=f"features are no class probabilities {EVIL}"),
]
TABLES = [
    ("treatments", pd.DataFrame({"compound": [EVIL] * 301, "distance": np.linspace(0, 1, 301)})),
    ("errors_nsc", pd.DataFrame({"compound": ["ALLN"], "predicted": ["DNA damage"], "neighbour": [EVIL]})),
]


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails on what is not closed in order."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.script = ""
        self.feed(html.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def report(**changes: Any) -> bytes:
    values = {
        "title": f"lane {EVIL}",
        "scores": SCORES,
        "pictures": [(f"Map {EVIL}", 'a "caption"', PNG)],
        "tables": TABLES,
        "facts": {"preset": f"bbbc021 {EVIL}"},
    }
    return evaluation_report(**{**values, **changes})


def comparison(**changes: Any) -> bytes:
    worse = [{**one, "value": one["value"] and one["value"] / 2} for one in SCORES]
    values: dict[str, Any] = {
        "scores": {"first": SCORES, f"second {EVIL}": worse},
        "pictures": [("Curves", "", PNG)],
        "facts": {"not evaluated": EVIL},
    }
    return comparison_report(**{**values, **changes})


@pytest.mark.parametrize("html", [report(), comparison()], ids=["evaluation", "comparison"])
def test_the_page_stands_alone_and_runs_nothing_that_users_wrote(html: bytes) -> None:
    page = Page(html)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not any(tag in ("link", "iframe", "object", "embed", "base", "form") for tag, _ in page.elements)
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "data"):
                assert (value or "").startswith("data:image/png;base64," if tag == "img" else "#")
    style = html.decode().split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    assert b"http:" not in html
    assert b"https:" not in html
    # Written as text, not lost.
    assert EVIL in page.text
    assert "default-src 'none'" in html.decode()


def test_pictures_are_inside_unchanged() -> None:
    (source,) = re.findall(rb'src="data:image/png;base64,([^"]+)"', report())
    assert base64.b64decode(source) == PNG


def test_values_n_exclusions_and_reasons_are_stated() -> None:
    text = Page(report()).text
    for expected in (
        "0.971",
        "0.930 to 0.990",
        "n = 103 treatments",
        "n = 92 treatments",
        "27.3",
        "protocol of nscb_strict",
        f"11: a single batch {EVIL}",
        "nscb, nscb_strict",
        "lower is better",
        f"features are no class probabilities {EVIL}",
        "Shown: the first 200 of 301 rows.",
        "301 rows",
        "ties: 2",
    ):
        assert expected in text, expected
    assert text.index("Errors and their neighbours") < text.index("Pictures", text.index("Not computed") + 20)
    assert text.rindex("classifier_cells") > text.rindex("enrichment")


def test_anchors_lead_somewhere() -> None:
    for html in (report(), report(scores=[], tables=[], pictures=[]), comparison()):
        page = Page(html)
        places = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
        assert {str(link) for link in links} <= {f"#{place}" for place in places}
        assert links


def test_a_report_without_anything_says_so() -> None:
    text = Page(report(scores=[], tables=[], pictures=[], facts={})).text
    assert "No score has a value." in text
    assert "No score left anything out." in text
    assert "No experiment has a score" in Page(comparison(scores={})).text


def test_bars_begin_at_zero_or_below_and_end_at_one_for_shares() -> None:
    bar = score_row(SCORES[0]).bar
    assert bar is not None
    assert (bar.value, bar.low, bar.high, bar.chance) == (97.08, 93, 99, 11)
    negative = score_row(SCORES[3]).bar
    assert negative is not None
    assert negative.low == 0
    assert negative.value == pytest.approx(100 * 0.1 / 1.2, abs=0.01)
    folds = score_row(SCORES[4]).bar
    assert folds is not None
    assert folds.low is None
    assert folds.value == pytest.approx(100 / 1.05, abs=0.01)
    assert score_row(SCORES[5]).bar is None


def test_scores_with_the_same_exclusions_are_listed_once() -> None:
    assert exclusions([score_row(one) for one in SCORES]) == [
        ("nscb, nscb_strict", [(f"a single batch {EVIL}", "11")])
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97087, "0.971"), (27.33, "27.3"), (1848, "1,848"), (0.0, "0"), (3.2e-5, "3.2e-05"), (-0.5, "-0.500")],
)
def test_numbers_are_written_with_as_many_digits_as_they_deserve(value: float, text: str) -> None:
    assert number_text(value) == text


def test_only_what_is_certainly_best_is_marked() -> None:
    def of(*intervals: tuple[float, float, float], **more: Any) -> dict[str, dict[str, Any]]:
        return {
            str(i): score("map", value, low=low, high=high, **more)
            for i, (low, value, high) in enumerate(intervals)
        }

    assert best_of(of((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))) == "1"
    assert best_of(of((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), higher_is_better=False)) == "0"
    assert best_of(of((0.1, 0.2, 0.41), (0.4, 0.5, 0.6))) is None
    assert best_of(of((0.1, 0.2, 0.3))) is None
    assert best_of(of((np.nan, 0.2, 0.3), (0.4, 0.5, 0.6))) is None
    uneven = of((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    uneven["0"]["n"] = 92
    assert best_of(uneven) is None


def test_tables_keep_a_named_index_and_sort_numbers_as_numbers() -> None:
    frame = pd.DataFrame(
        {"a": [1.23456789, np.nan], "b": ["x", None], "c": pd.array([True, pd.NA], dtype="boolean")},
        index=pd.Index(["r", "s"], name="true"),
    )
    table = report_table("confusion", frame)
    assert table.columns == (("true", False), ("a", True), ("b", False), ("c", False))
    assert [cell.text for cell in table.rows[0]] == ["r", "1.235", "x", "yes"]
    assert [cell.text for cell in table.rows[1]] == ["s", "", "", ""]
    assert float(table.rows[0][1].key) == 1.23456789
    assert table.note == ""
    wide = report_table("wide", pd.DataFrame(np.zeros((3, 57))))
    assert wide.note == "Shown: the first 40 of 57 columns."
    assert len(wide.rows[0]) == 40


def test_the_script_sorts_numbers_up_and_down_and_leaves_gaps_last(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = tmp_path / "sort.js"
    program.write_text(_PAGE_WITH_ONE_TABLE + Page(report()).script + _CLICK_TWICE)
    printed = subprocess.run([node, str(program)], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["2,9,10,", "10,9,2,"]


# As much of a page as the script touches: a table of one column, 10, nothing, 9, 2.
_PAGE_WITH_ONE_TABLE = """
const body = { rows: ["10", "", "9", "2"].map((key) => ({ cells: [{ dataset: { key: key } }] })),
  appendChild(row) { this.rows = this.rows.filter((other) => other !== row).concat([row]); } };
const attributes = {};
const head = { cellIndex: 0, getAttribute: (name) => attributes[name],
  setAttribute: (name, value) => { attributes[name] = value; }, removeAttribute: () => {},
  parentElement: { querySelectorAll: () => [] }, closest: () => ({ tBodies: [body] }) };
let click = null;
const button = { closest: () => head, addEventListener: (name, action) => { click = action; } };
const document = { querySelectorAll: (query) => query.endsWith("button") ? [button] : [] };
const window = { addEventListener: () => {} };
"""
_CLICK_TWICE = """
const keys = () => body.rows.map((row) => row.cells[0].dataset.key).join(",");
click(); console.log(keys());
click(); console.log(keys());
"""


def test_scores_that_miss_the_same_thing_share_a_line() -> None:
    missing = [score(name, None, n=0, reason="nobody has a label") for name in ("nsc", "map")]
    text = evaluation_report("e", missing, [], [], {}).decode()
    assert text.count("nobody has a label") == 1
    assert "nsc, map" in text
