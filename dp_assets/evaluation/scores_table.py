"""Scores as JSON and as a table, and back."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from dp_assets.evaluation.score import Score

_NUMBERS = ("value", "low", "high")


def scores_to_json(scores: Iterable[Score]) -> str:
    """A JSON list with an object per score; what is not a number is null."""
    return json.dumps([score_to_dict(score) for score in scores], indent=1, allow_nan=False)


def score_to_dict(score: Score) -> dict[str, Any]:
    """The fields of a score as JSON has them."""
    return {key: _plain(value) for key, value in asdict(score).items()}


def scores_from_json(text: str) -> list[Score]:
    """The scores that `scores_to_json` wrote. Raises ValueError or TypeError when it is something else."""
    found = []
    for values in json.loads(text):
        numbers = {name: math.nan if values[name] is None else values[name] for name in _NUMBERS}
        found.append(Score(**{**values, **numbers}))
    return found


def scores_to_frame(scores: Sequence[Score]) -> pd.DataFrame:
    """One row per score, exclusions and details as text, for a spreadsheet."""
    rows = []
    for score in scores:
        row = score_to_dict(score)
        row["excluded"] = "; ".join(f"{reason}: {count}" for reason, count in score.excluded.items())
        row["details"] = "; ".join(f"{name}: {value:.6g}" for name, value in score.details.items())
        rows.append(row)
    return pd.DataFrame(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
