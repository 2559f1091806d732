"""Scores of several experiments side by side as an HTML file that stands alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dp_assets.figures.report_rendering import Pictures, embedded, render
from dp_assets.figures.report_scores import (
    Score,
    best_of,
    exclusions,
    finite,
    interval_text,
    number_text,
    reasons,
    score_row,
)
from dp_assets.figures.report_tables import report_table

TITLE = "Comparison of experiments"


def comparison_report(
    scores: Mapping[str, Sequence[Score]],
    pictures: Pictures,
    facts: Mapping[str, str],
    tables: Sequence[tuple[str, pd.DataFrame]] = (),
    title: str = TITLE,
) -> bytes:
    """The report of several experiments: no network, nothing beside it.

    Parameters
    ----------
    scores : experiment -> its scores, as in `evaluation_report`. A score is marked as the best where its
        interval overlaps that of no other experiment and all were computed over as many units.
    pictures, tables, facts, title : as in `evaluation_report`.

    Returns
    -------
    UTF-8 HTML.
    """
    rows = {experiment: [score_row(score) for score in found] for experiment, found in scores.items()}
    return render(
        "comparison.html",
        title=title,
        facts=facts,
        experiments=list(scores),
        lines=_lines(scores),
        exclusions=[
            (experiment, names, excluded)
            for experiment, found in rows.items()
            for names, excluded in exclusions(found)
        ],
        absent=[
            (experiment, names, reason)
            for experiment, found in rows.items()
            for names, reason in reasons(found)
        ],
        pictures=embedded(pictures),
        tables=[report_table(heading, table) for heading, table in tables],
    )


def _lines(scores: Mapping[str, Sequence[Score]]) -> list[dict[str, Any]]:
    """One line per score that has a value somewhere: its row, and a cell per experiment."""
    by_name: dict[str, dict[str, Score]] = {}
    for experiment, found in scores.items():
        for score in found:
            if finite(score.get("value")) is not None:
                by_name.setdefault(str(score["name"]), {})[experiment] = score
    lines = []
    for of_name in by_name.values():
        best = best_of(of_name)
        protocols = list(dict.fromkeys(str(score.get("protocol") or "") for score in of_name.values()))
        lines.append(
            {
                "row": score_row(next(iter(of_name.values()))),
                "protocols": protocols,
                "cells": [_cell(of_name.get(experiment), experiment == best) for experiment in scores],
            }
        )
    return lines


def _cell(score: Score | None, is_best: bool) -> dict[str, Any] | None:
    if score is None:
        return None
    chance = finite(score.get("chance"))
    return {
        "value": number_text(float(score["value"])),
        "key": repr(float(score["value"])),
        "interval": interval_text(score),
        "n": f"{int(score.get('n') or 0):,}",
        "chance": "" if chance is None else number_text(chance),
        "best": is_best,
    }
