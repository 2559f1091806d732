"""Which wells take part in scores of wells against each other."""

from dataclasses import dataclass

import numpy as np

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.profile_set import ProfileSet


@dataclass(frozen=True)
class TreatedWells:
    """The treated wells that take part.

    Attributes
    ----------
    rows : (wells,) int, row numbers in the profiles, ascending.
    excluded : reason -> number of wells (controls are not counted: they are no queries).
    """

    rows: np.ndarray
    excluded: dict[str, int]


def treated_wells(profiles: ProfileSet, protocol: EvaluationProtocol) -> TreatedWells:
    """Wells with a treatment that are neither controls nor left out by `exclude_from_wells`.

    A compound is left out whatever its case; where the compound is not known, the treatment's name decides.
    """
    hidden = {name.casefold() for name in protocol.exclude_from_wells}
    pairs = zip(profiles.compounds, profiles.treatments, strict=True)
    is_hidden = np.array(
        [(compound or treatment).casefold() in hidden for compound, treatment in pairs], bool
    )
    treated = ~profiles.is_control
    named = treated & (profiles.treatments != "")
    reasons = {
        "wells without a treatment": treated & ~named,
        "wells of compounds in exclude_from_wells": named & is_hidden,
    }
    excluded = {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}
    return TreatedWells(np.flatnonzero(named & ~is_hidden), excluded)


def replicated_wells(profiles: ProfileSet, protocol: EvaluationProtocol) -> TreatedWells:
    """Those of `treated_wells` whose treatment has at least two of them.

    In `excluded`, "treatments with one well" counts treatments, which here are as many as wells.
    """
    treated = treated_wells(profiles, protocol)
    _, group, sizes = np.unique(
        profiles.treatments[treated.rows].astype(str), return_inverse=True, return_counts=True
    )
    several = sizes[group] > 1
    excluded = dict(treated.excluded)
    if not several.all():
        excluded["treatments with one well"] = int((~several).sum())
    return TreatedWells(treated.rows[several], excluded)
