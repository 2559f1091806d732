"""Scores of several experiments on the screen: every number, and what stands behind it."""

import io
import math

from rich.console import Console

from dp_assets.evaluation.score import Score, not_applicable
from dp_assets.evaluation.scores_table import scores_from_json, scores_to_json
from dp_assets.orchestration.score_display import left_out, not_computed, print_scores, shown

SCORED = {
    "zscore": [
        Score("nsc", 100 / 103, 103, "treatments", "p", 0.9318, 1.0),
        Score("nscb", 80 / 92, 92, "treatments", "p", excluded={"label of one batch": 11, "none": 0}),
        Score("drop", 0.1, 92, "treatments", "p", excluded={"label of one batch": 11}),
        not_applicable("plate_effect", "plates", "p", "no plate has two controls"),
    ],
    "tvn": [
        Score("nsc", 0.5, 102, "treatments", "p", 0.4, 0.6, excluded={"all zero": 1}),
        Score("enrichment", 25.894, 204, "queries", "p"),
        not_applicable("nscb", "treatments", "p", "every label lies in one batch"),
        not_applicable("plate_effect", "plates", "p", "no plate has two controls"),
    ],
}


def drawn(scored: dict[str, list[Score]], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)
    print_scores(scored, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_row_per_score_and_a_column_per_experiment() -> None:
    table = drawn(SCORED).partition("left out:")[0]
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    assert rows["score"] == ["n", "zscore", "tvn"]
    assert rows["nsc"] == ["103/102", "0.971", "[0.932,", "1.000]", "0.500", "[0.400,", "0.600]"]
    assert rows["nscb"] == ["92", "0.870", "-"]
    assert rows["enrichment"] == ["204", "25.9"]
    assert "plate_effect" not in rows, "a score without any value is in the notes"


def test_of_a_series_the_ends_are_shown() -> None:
    names = [f"{kind}@{k}" for k in (10, 5, 50, 25) for kind in ("precision", "recall")]
    scored = {"a": [Score(name, 0.5, 9, "queries", "p") for name in (*names, "precision@1%")]}
    rows = [line.split()[0] for line in drawn(scored).splitlines() if "0.500" in line]
    assert rows == ["precision@5", "recall@5", "precision@50", "recall@50", "precision@1%"]
    absent = {"a": [not_applicable(f"precision@{k}", "queries", "p", "no labels") for k in (5, 10, 50)]}
    assert not_computed(absent) == ["precision@5, precision@50: no labels"]


def test_what_is_better_low_says_so_and_one_treatment_is_noise() -> None:
    text = drawn({"a": [*SCORED["zscore"], Score("plates", 0.2, 5, "p", "p", higher_is_better=False)]})
    assert "plates (low is good)" in text
    assert "nsc (low" not in text
    assert "One of 103 treatments is 0.010 of nsc" in text
    assert "noise" not in drawn({"a": SCORED["tvn"][1:]})


def test_what_was_left_out_is_said_once_with_its_reason() -> None:
    assert left_out(SCORED) == ["nsc [tvn]: 1 (all zero)", "nscb, drop [zscore]: 11 (label of one batch)"]
    everywhere = dict.fromkeys(("a", "b"), SCORED["zscore"])
    assert left_out(everywhere) == ["nscb, drop: 11 (label of one batch)"]


def test_what_has_no_value_is_said_with_its_reason() -> None:
    assert not_computed(SCORED) == [
        "nscb [tvn]: every label lies in one batch",
        "plate_effect: no plate has two controls",
    ]


def test_notes_come_below_the_table() -> None:
    text = drawn(SCORED)
    assert text.index("enrichment") < text.index("left out:") < text.index("not computed:")


def test_no_number_is_broken_up_where_the_screen_is_narrow() -> None:
    narrow = [line.rstrip() for line in drawn(SCORED, width=30).splitlines() if "─" not in line]
    assert narrow == [line.rstrip() for line in drawn(SCORED).splitlines() if "─" not in line]


def test_values_without_intervals_and_numbers_of_any_size() -> None:
    assert shown(Score("a", 0.12345, 1, "x", "p")) == "0.123"
    assert shown(Score("a", -41.06, 1, "x", "p")) == "-41.1"
    assert shown(Score("a", 9.5, 1, "x", "p", 4.0, 12.25)) == r"9.5 \[4.0, 12.2]"
    assert shown(Score("a", math.nan, 1, "x", "p", reason="no")) == "-"


def test_scores_that_were_stored_are_shown_alike() -> None:
    stored = {name: scores_from_json(scores_to_json(scores)) for name, scores in SCORED.items()}
    assert drawn(stored) == drawn(SCORED)
