"""Are the controls of a plate more alike than controls of all plates? Then plates leave their mark."""

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import interval
from dp_assets.evaluation.correlation_blocks import correlation_rows, drawn_medians
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

_NAME = "plate_effect"
_DRAWS_PER_PLATE = 10
_FEWEST_CONTROLS = 3


def plate_effect(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Fraction of random sets of a plate's controls that correlate more than sets from all plates.

    Per plate 10 sets of at most `null_size` of its controls are drawn; each is summed up by its median
    Pearson correlation, and held against the 95th percentile of `null_draws` sets from the controls of all
    plates. Source: the control plate effect of the DeepProfiler papers. There null sets have `null_size`
    wells even where a plate has fewer controls, which makes sets of few wells exceed the threshold more
    often; here null sets have as many wells as those of the plate.

    Parameters
    ----------
    profiles : of wells.
    protocol : with `compat`, null sets have `null_size` wells, and medians are taken with the diagonal.

    Returns
    -------
    ScoreResult
        Score `plate_effect` (high values are bad); table "plate_effect" with a row per plate.
    """
    settings = protocol.settings
    line = (
        f"{_DRAWS_PER_PLATE} sets of at most {settings.null_size} controls per plate, median Pearson "
        f"correlation; fraction above the 95th percentile of {settings.null_draws} sets from all plates"
    )
    line += (
        f" of {settings.null_size} controls, diagonal included (compat)"
        if settings.compat
        else " of as many controls"
    )
    if profiles.level != "well":
        return _none(line, f"needs profiles of wells, these are of {profiles.level}s")
    units, varied = correlation_rows(profiles.features[profiles.is_control])
    units, plates = units[varied], profiles.plates[profiles.is_control][varied].astype(str)
    names, group, counts = np.unique(plates, return_inverse=True, return_counts=True)
    enough = counts >= _FEWEST_CONTROLS
    excluded = _excluded(profiles, enough, int((~varied).sum()))
    if enough.sum() < 2:
        return _none(
            line, f"plates with {_FEWEST_CONTROLS} or more control wells: {enough.sum()}; two are needed"
        )
    every = np.arange(len(units))
    thresholds: dict[int, float] = {}
    rows = []
    for number in np.flatnonzero(enough):
        size = min(settings.null_size, int(counts[number]))
        null_size = min(settings.null_size, len(units)) if settings.compat else size
        if null_size not in thresholds:
            null = drawn_medians(
                units,
                every,
                null_size,
                settings.null_draws,
                (settings.seed, 4, null_size),
                diagonal=settings.compat,
            )
            thresholds[null_size] = float(np.percentile(null, 95))
        drawn = drawn_medians(
            units,
            np.flatnonzero(group == number),
            size,
            _DRAWS_PER_PLATE,
            (settings.seed, 5, int(number)),
            diagonal=settings.compat,
        )
        threshold = thresholds[null_size]
        rows.append(
            {
                "plate": names[number],
                "controls": int(counts[number]),
                "set_size": size,
                "correlation": float(np.median(drawn)),
                "threshold": threshold,
                "fraction_above": float((drawn > threshold).mean()),
            }
        )
    table = pd.DataFrame(rows)
    values = table["fraction_above"].to_numpy()
    score = Score(
        _NAME,
        float(values.mean()),
        len(values),
        "plates",
        line,
        *interval(values, protocol),
        excluded=excluded,
        # By definition of a percentile, for sets of the size of the null's.
        chance=None if settings.compat else 0.05,
        higher_is_better=False,
        details={"draws": len(values) * _DRAWS_PER_PLATE, "control_wells": int(counts[enough].sum())},
    )
    return ScoreResult((score,), {_NAME: table})


def _none(line: str, reason: str) -> ScoreResult:
    return ScoreResult((not_applicable(_NAME, "plates", line, reason),))


def _excluded(profiles: ProfileSet, enough: np.ndarray, constant: int) -> dict[str, int]:
    """Plates and wells that do not take part; plates without any control are among the former."""
    few = len(set(profiles.plates)) - int(enough.sum())
    reasons = {
        f"plates with fewer than {_FEWEST_CONTROLS} control wells": few,
        "wells with one value in all features": constant,
    }
    return {reason: count for reason, count in reasons.items() if count}
