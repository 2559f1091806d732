"""Which lambda the scores would choose, and what such a choice is worth.

A lambda chosen by the score that is then reported flatters itself. So the labels are halved: the best lambda
on one half is scored on the other, which had no say in it. The correction itself uses no labels.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.protocol import ProfileProtocol
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.score import Score
from dp_assets.profiling.correction import apply_correction, prepare
from dp_assets.profiling.label_halves import label_halves
from dp_assets.profiling.treatments import treatment_table
from dp_assets.profiling.well_table import wells_of_sites
from dp_assets.storage.schemas import CORRECTION_SWEEP

ALL, FIRST, SECOND = "all", "first", "second"
_OTHER = {FIRST: SECOND, SECOND: FIRST}
_NO_SPLIT = -1


@dataclass(frozen=True)
class Trial:
    """The score of one lambda on some labels: `half` "all", "first" or "second" of `split` (-1 for "all")."""

    regularization: float
    half: str
    split: int
    value: float
    n: int


@dataclass(frozen=True)
class RegularizationSweep:
    """What the sweep found.

    Attributes
    ----------
    table : schema `correction_sweep`: the score of every lambda on all labels and on every half; `chosen`
        marks the best one of each.
    score : the name of the score.
    best : the best lambda on all labels; None when the score has no value. Of equals the largest.
    best_value : its score on all labels, the optimistic number; NaN when there is none.
    chosen : the lambda that the halves choose most often (of equals the one that is better on all labels);
        None when there are no halves.
    honest : mean score of a half with the lambda that the other half chose; NaN without halves.
    optimistic : mean score of a half with the lambda that it chose itself. Not to be compared with
        `best_value`: it is easier, or harder, to find a label again among half of them.
    halves : how many halves had a say.
    reason : why there are no halves; "" when there are.
    """

    table: pa.Table
    score: str
    best: float | None
    best_value: float
    chosen: float | None
    honest: float
    optimistic: float
    halves: int
    reason: str


def sweep_regularization(
    table: pa.Table,
    protocol: ProfileProtocol,
    score: Callable[[ProfileSet], Score],
    *,
    label_separator: str,
) -> RegularizationSweep:
    """Score the corrected treatments for every lambda, on all labels and on halves of them.

    Memory holds the corrected profiles of one lambda at a time.

    Parameters
    ----------
    table : raw profiles with the role columns, of the level of the protocol.
    protocol : its `regularization_sweep` names lambdas, splits and seed.
    score : of treatment profiles, on their labels; the profiles it gets are also its library.
    label_separator : what stands between several labels; "" for one label only.

    Raises
    ------
    ConfigurationError : the protocol corrects nothing; or as `correct`.
    """
    if protocol.correction.method == "none":
        raise ConfigurationError(
            'there is no lambda to choose with the method "none"',
            where="profiles.correction.method",
            remedy='Write "whitening", "sphering" or "tvn", or leave profiles.regularization_sweep out.',
        )
    settings = protocol.regularization_sweep
    halvings: list[tuple[np.ndarray, np.ndarray]] | None = None
    trials: list[Trial] = []
    higher_is_better = True
    for regularization, treatments in _corrected_treatments(table, protocol):
        if halvings is None:
            halvings = label_halves(treatments.label_sets(label_separator), settings.splits, settings.seed)
        for half, split, part in _parts(treatments, halvings):
            found = score(part)
            higher_is_better = found.higher_is_better
            trials.append(Trial(regularization, half, split, found.value, found.n))
    return summarize_sweep(trials, settings.score, higher_is_better=higher_is_better)


def summarize_sweep(trials: list[Trial], score: str, *, higher_is_better: bool = True) -> RegularizationSweep:
    """What follows from the scores of all lambdas on all labels and halves.

    Parameters
    ----------
    trials : every lambda on the same halves; a value is NaN where the score does not apply.
    score : its name.
    higher_is_better : False for scores of something unwanted.
    """
    of_half: dict[tuple[int, str], dict[float, Trial]] = {}
    for trial in trials:
        of_half.setdefault((trial.split, trial.half), {})[trial.regularization] = trial
    best = {key: _best(of_half[key], higher_is_better) for key in of_half}
    everything = (_NO_SPLIT, ALL)
    choices = {key: value for key, value in best.items() if key != everything and value is not None}
    other = {key: of_half[key[0], _OTHER[key[1]]][value].value for key, value in choices.items()}
    judged = {key: value for key, value in other.items() if math.isfinite(value)}
    overall = best.get(everything)
    return RegularizationSweep(
        table=_table(trials, score, best),
        score=score,
        best=overall,
        best_value=math.nan if overall is None else of_half[everything][overall].value,
        chosen=_most_chosen([choices[key] for key in judged], of_half.get(everything, {}), higher_is_better),
        honest=float(np.mean(list(judged.values()))) if judged else math.nan,
        optimistic=float(np.mean([of_half[key][choices[key]].value for key in judged]))
        if judged
        else math.nan,
        halves=len(judged),
        reason=""
        if judged
        else "the labels cannot be halved: fewer than four are found in several treatments",
    )


def _corrected_treatments(table: pa.Table, protocol: ProfileProtocol) -> Iterator[tuple[float, ProfileSet]]:
    prepared = prepare(table, protocol)
    for regularization in protocol.regularization_sweep.values:
        correction = protocol.correction.model_copy(update={"regularization": regularization})
        rows = apply_correction(prepared, correction).table
        if protocol.level == "site" and protocol.treatments.source == "well":
            rows = wells_of_sites(rows, None, protocol.cells).table
        yield regularization, profile_set(treatment_table(rows, protocol.treatments), "treatment")


def _parts(
    treatments: ProfileSet, halvings: list[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[str, int, ProfileSet]]:
    """All treatments, then the two halves of every split; with the name of the half and the split."""
    yield ALL, _NO_SPLIT, treatments
    for split, (first, second) in enumerate(halvings):
        yield FIRST, split, treatments.take(first)
        yield SECOND, split, treatments.take(second)


def _best(trials: dict[float, Trial], higher_is_better: bool) -> float | None:
    """The lambda of the best trial; of equals the largest lambda, which changes the profiles least."""
    finite = [trial for trial in trials.values() if math.isfinite(trial.value)]
    sign = 1 if higher_is_better else -1
    ranked = sorted(finite, key=lambda trial: (sign * trial.value, trial.regularization))
    return ranked[-1].regularization if ranked else None


def _most_chosen(choices: list[float], on_all: dict[float, Trial], higher_is_better: bool) -> float | None:
    if not choices:
        return None
    counts = Counter(choices)
    most = {value for value, count in counts.items() if count == max(counts.values())}
    return _best({value: on_all[value] for value in most if value in on_all}, higher_is_better) or max(most)


def _table(trials: list[Trial], score: str, best: dict[tuple[int, str], float | None]) -> pa.Table:
    columns = {
        "regularization": [trial.regularization for trial in trials],
        "score": [score] * len(trials),
        "half": [trial.half for trial in trials],
        "split": [trial.split for trial in trials],
        "value": [trial.value if math.isfinite(trial.value) else None for trial in trials],
        "n": [trial.n for trial in trials],
        "chosen": [best[trial.split, trial.half] == trial.regularization for trial in trials],
    }
    kinds = {name: kind for name, (kind, _) in CORRECTION_SWEEP.required.items()}
    return CORRECTION_SWEEP.enforce(
        pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})
    )
