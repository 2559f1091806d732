"""What every score says: its value, on how many, what was left out and why, by which protocol, how sure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Score:
    """One number with everything needed to believe it.

    Attributes
    ----------
    name : such as "nsc" or "precision@10"; unique within an evaluation.
    value : NaN when the score does not apply (then `reason` says why).
    n : how many units (see `unit`) it was computed over.
    unit : "treatments", "wells", "queries", "cells", ...
    protocol : one line that tells the method apart from others of the same name.
    low, high : confidence interval; NaN when there is none.
    excluded : reason -> how many units were left out for it.
    chance : the value that a representation without information would get; None when unknown.
    higher_is_better : False for measures of something unwanted, such as a plate effect.
    reason : why there is no value; "" when there is one.
    details : further numbers that belong to this score (ties, thresholds, counts).
    """

    name: str
    value: float
    n: int
    unit: str
    protocol: str
    low: float = math.nan
    high: float = math.nan
    excluded: Mapping[str, int] = field(default_factory=dict)
    chance: float | None = None
    higher_is_better: bool = True
    reason: str = ""
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreResult:
    """What one family of scores finds.

    Attributes
    ----------
    scores : the numbers.
    tables : name -> table with the values behind them (per treatment, per query, curves), for the reader.
    """

    scores: tuple[Score, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def not_applicable(name: str, unit: str, protocol: str, reason: str) -> Score:
    """A score that cannot be computed on these profiles, and why."""
    return Score(name, math.nan, 0, unit, protocol, reason=reason)
