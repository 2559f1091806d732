"""All scores that an experiment asks for, one family after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.enrichment import enrichment
from dp_assets.evaluation.first_hit import first_hits
from dp_assets.evaluation.label_probes import label_probes
from dp_assets.evaluation.nsc import nearest_neighbour_scores
from dp_assets.evaluation.phenotypic_activity import phenotypic_activity
from dp_assets.evaluation.phenotypic_consistency import phenotypic_consistency
from dp_assets.evaluation.plate_effect import plate_effect
from dp_assets.evaluation.precision_recall import precision_recall
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.ranking import ranking_scores
from dp_assets.evaluation.replicate_strength import replicate_strength
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

Progress = Callable[[int, int], None]

_NEIGHBOURS = ("nsc", "nscb", "nscb_strict")
_SITES_ARE_WELLS = "no well has several sites, so that sites are wells"


@dataclass(frozen=True)
class ScoredProfiles:
    """An experiment's corrected profiles.

    Attributes
    ----------
    treatments, wells : of these levels; wells with the controls.
    sites : with the controls; None where there are none.
    """

    treatments: ProfileSet
    wells: ProfileSet
    sites: ProfileSet | None = None


@dataclass(frozen=True)
class _Family:
    """Scores that are computed together.

    Attributes
    ----------
    name : for tables of the same name from different families.
    metrics : names of `evaluation.metrics`; any of them asks for the family.
    compute : makes the scores.
    """

    name: str
    metrics: tuple[str, ...]
    compute: Callable[[ScoredProfiles, EvaluationProtocol], ScoreResult]


_FAMILIES = (
    _Family("neighbours", _NEIGHBOURS, lambda p, e: _asked_neighbours(p.treatments, e)),
    _Family("retrieval", ("map", "precision_recall"), lambda p, e: precision_recall(p.treatments, e)),
    _Family("enrichment", ("enrichment",), lambda p, e: enrichment(p.treatments, e)),
    _Family("ranking", ("ranking",), lambda p, e: ranking_scores(p.treatments, e)),
    _Family("first_hit", ("first_hit",), lambda p, e: _first_hits(p, e)),
    _Family("activity", ("activity",), lambda p, e: phenotypic_activity(p.wells, e)),
    _Family("consistency", ("consistency",), lambda p, e: phenotypic_consistency(p.treatments, e)),
    _Family("replicates", ("replicate_strength",), lambda p, e: replicate_strength(p.wells, e)),
    _Family("plates", ("plate_effect",), lambda p, e: plate_effect(p.wells, e)),
    _Family("probes", ("label_probes",), lambda p, e: label_probes(p.wells, e)),
)


def score_profiles(
    profiles: ScoredProfiles,
    protocol: EvaluationProtocol,
    further: tuple[tuple[str, ScoreResult], ...] = (),
    progress: Progress = lambda *_: None,
) -> ScoreResult:
    """Compute the families of scores that `evaluation.metrics` names.

    Parameters
    ----------
    profiles : corrected profiles of one experiment. Wells and sites may come in any order: draws and shuffles
        are made of them sorted by plate and well.
    protocol : which scores, and how.
    further : scores of cells that were computed elsewhere, with the name of their family.
    progress : called with (families done, families).

    Returns
    -------
    ScoreResult
        All scores; all tables, those whose names meet under `<family>_<name>`.
    """
    asked = [family for family in _FAMILIES if set(family.metrics) & set(protocol.settings.metrics)]
    profiles = _in_order(profiles)
    found: list[tuple[str, ScoreResult]] = []
    for number, family in enumerate(asked):
        found.append((family.name, family.compute(profiles, protocol)))
        progress(number + 1, len(asked))
    return _joined([*found, *further])


def _in_order(profiles: ScoredProfiles) -> ScoredProfiles:
    """Sorted, as seeded draws are by row number: the order of a file must not change a score."""
    return ScoredProfiles(
        profiles.treatments,
        _by_well(profiles.wells),
        None if profiles.sites is None else _by_well(profiles.sites),
    )


def _by_well(profiles: ProfileSet) -> ProfileSet:
    return profiles.take(np.lexsort((profiles.wells.astype(str), profiles.plates.astype(str))))


def _joined(results: list[tuple[str, ScoreResult]]) -> ScoreResult:
    names = [name for _, result in results for name in result.tables]
    tables = {
        (name if names.count(name) == 1 else f"{family}_{name}"): table
        for family, result in results
        for name, table in result.tables.items()
    }
    return ScoreResult(tuple(score for _, result in results for score in result.scores), tables)


def _asked_neighbours(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """NSC and its relatives, as far as they are asked for; the drop needs both."""
    found = nearest_neighbour_scores(treatments, protocol)
    asked: set[str] = {name for name in _NEIGHBOURS if name in protocol.settings.metrics}
    if {"nsc", "nscb"} <= asked:
        asked.add("drop")
    return ScoreResult(tuple(score for score in found.scores if score.name in asked), found.tables)


def _first_hits(profiles: ScoredProfiles, protocol: EvaluationProtocol) -> ScoreResult:
    """First hits at the levels asked for; those of cells come from elsewhere."""
    results = [("first_hit", found) for found in _levels(profiles, protocol)]
    return ScoreResult(
        tuple(score for _, result in results for score in result.scores),
        {name: table for _, result in results for name, table in result.tables.items()},
    )


def _levels(profiles: ScoredProfiles, protocol: EvaluationProtocol) -> Iterator[ScoreResult]:
    asked = protocol.settings.first_hit_levels
    if "treatment" in asked:
        yield first_hits(profiles.treatments, protocol)
    if "well" in asked:
        yield first_hits(profiles.wells, protocol)
    if "site" in asked:
        sites = profiles.sites
        if sites is None or not _several_sites(sites):
            reason = not_applicable("first_hit_site", "treatments", "first hit of sites", _SITES_ARE_WELLS)
            yield ScoreResult((reason,))
        else:
            yield first_hits(sites, protocol)


def _several_sites(sites: ProfileSet) -> bool:
    return len(set(zip(sites.plates, sites.wells, strict=True))) < len(sites)


def score_named(scores: tuple[Score, ...], name: str) -> Score | None:
    """The score of this name; None when it was not computed."""
    return next((score for score in scores if score.name == name), None)
