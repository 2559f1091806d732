"""How long do correction and scores of a large screen take, and how much memory? Measured on made profiles.

2,000 wells of 1,280 features on 20 plates in 5 batches: 10 % of the wells are controls, the others replicates
of treatments (four wells each, on four plates of two batches), with 30 mechanisms. Treatments and mechanisms
have directions of their own, batches shift and stretch all features, and some features never vary, as in
networks.

python benchmarks/profile_scores.py [--wells 2000] [--features 1280] [--methods sphering tvn] [--cores 2]

Prints JSON: for each method seconds per step, the number of scores, and the peak of memory so far. The budget
for one method is 120 s and 4 GB on two cores; the exit code is 1 when it is not kept (--no-budget: never).
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from dp_assets.config.protocol import ScoringSettings

BUDGET_SECONDS, BUDGET_BYTES = 120.0, 4e9
PLATES, BATCHES, MECHANISMS, REPLICATES = 20, 5, 30, 4
CONTROL_SHARE = 0.1
DEAD_SHARE = 0.05
# Scores that are computed together.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("nsc", "nscb", "nscb_strict"),
    ("map", "precision_recall"),
    ("enrichment",),
    ("ranking",),
    ("first_hit",),
    ("activity",),
    ("consistency",),
    ("replicate_strength",),
    ("plate_effect",),
    ("label_probes",),
)
Made = TypeVar("Made")


def made_profiles(wells: int, features: int, seed: int = 0) -> "pa.Table":
    """Profiles of wells with the role columns, as many as asked for (rounded down to full replicates).

    Parameters
    ----------
    wells : at least two controls and one replicate for each of the 20 plates: 60.
    features : numbers per well; one in 20 is constant.
    """
    import numpy as np
    import pyarrow as pa

    from dp_assets.storage import profile_columns as roles
    from dp_assets.storage.schemas import PLATE, PROFILES, WELL

    rng = np.random.default_rng(seed)
    controls = max(2 * PLATES, round(wells * CONTROL_SHARE))
    treatments = (wells - controls) // REPLICATES
    treated = np.repeat(np.arange(treatments), REPLICATES)
    replicate = np.tile(np.arange(REPLICATES), treatments)
    # Each treatment is in two neighbouring batches, on two plates of each; plate p is of batch p % BATCHES.
    place = treated + treated // MECHANISMS
    own_batch = (place + replicate // 2) % BATCHES
    own_plate = own_batch + BATCHES * ((place // BATCHES + replicate) % (PLATES // BATCHES))
    plate = np.concatenate([np.arange(controls) % PLATES, own_plate])
    mechanism = treated % MECHANISMS
    signal = np.zeros((controls + len(treated), features))
    signal[controls:] = 0.5 * rng.normal(size=(MECHANISMS, features))[mechanism]
    signal[controls:] += 0.5 * rng.normal(size=(treatments, features))[treated]
    batch = plate % BATCHES
    shift, stretch = rng.normal(size=(BATCHES, features)), np.exp(0.3 * rng.normal(size=(BATCHES, features)))
    values = (signal + rng.normal(size=signal.shape)) * stretch[batch] + 2.0 * shift[batch]
    values[:, rng.random(features) < DEAD_SHARE] = 0.0
    name = [roles.IS_CONTROL] * controls + [roles.IS_TREATED] * len(treated)
    told = {
        PLATE: [f"P{number:02d}" for number in plate],
        WELL: [f"W{number:05d}" for number in range(len(plate))],
        roles.TREATMENT: ["DMSO"] * controls + [f"C{number:04d}@1" for number in treated],
        roles.COMPOUND: ["DMSO"] * controls + [f"C{number:04d}" for number in treated],
        roles.CONCENTRATION: ["0"] * controls + ["1"] * len(treated),
        roles.LABEL: [""] * controls + [f"mechanism {number}" for number in mechanism],
        roles.BATCH: [f"B{number}" for number in batch],
        roles.CONTROL: name,
        roles.REPLICATE: ["0"] * controls + [str(number + 1) for number in replicate],
    }
    return PROFILES.enforce(
        pa.table(
            {key: pa.array(column, pa.string()) for key, column in told.items()}
            | {f"made_{n}": pa.array(values[:, n].astype(np.float32)) for n in range(features)}
        )
    )


def measure(table: "pa.Table", method: str, permutations: int) -> dict[str, Any]:
    """Seconds per step, scores and memory of one method of correction.

    Returns
    -------
    `seconds`: step -> seconds, with `total`. `scores`: how many have a value. `not_applicable`: the names of
    the others. `nsc`: one of them. `peak_bytes`: the most memory that this process has had so far.
    """
    from dp_assets.evaluation.profile_table import profile_set
    from dp_assets.evaluation.scoring import ScoredProfiles, score_named, score_profiles
    from dp_assets.profiling.correction import correct
    from dp_assets.profiling.treatments import treatment_table

    settings = protocols(method, permutations)
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Made]) -> Made:
        started = time.perf_counter()
        result = work()
        seconds[step] = round(time.perf_counter() - started, 3)
        return result

    corrected = timed("correction", lambda: correct(table, settings.profiles).table)
    treatments = timed("treatments", lambda: treatment_table(corrected, settings.profiles.treatments))
    profiles = ScoredProfiles(profile_set(treatments, "treatment"), profile_set(corrected, "well"))
    scores = []
    for family in FAMILIES:
        asked = settings.evaluation.settings.model_copy(update={"metrics": family})
        protocol = settings.evaluation.model_copy(update={"settings": asked})
        scores += timed("+".join(family), lambda p=protocol: score_profiles(profiles, p)).scores
    seconds["total"] = round(sum(seconds.values()), 3)
    nsc = score_named(tuple(scores), "nsc")
    return {
        "seconds": seconds,
        "scores": sum(not score.reason for score in scores),
        "not_applicable": sorted(score.name for score in scores if score.reason),
        "nsc": None if nsc is None else round(nsc.value, 4),
        "peak_bytes": peak_bytes(),
    }


def protocols(method: str, permutations: int) -> "ScoringSettings":
    """Settings as an experiment with this correction and otherwise the defaults would have them."""
    from dp_assets.config.evaluation_sections import EvaluationSettings
    from dp_assets.config.protocol import (
        Correction,
        EvaluationProtocol,
        Normalization,
        ProfileProtocol,
        ScoringSettings,
    )

    correction = Correction.model_validate({"method": method, "regularization": 0.01})
    return ScoringSettings(
        profiles=ProfileProtocol(normalization=Normalization(method="standardize"), correction=correction),
        evaluation=EvaluationProtocol(settings=EvaluationSettings(permutations=permutations)),
    )


def peak_bytes() -> int:
    """The most memory this process has had, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def within_budget(results: dict[str, dict[str, Any]]) -> bool:
    """Whether every method kept the budget."""
    return all(
        found["seconds"]["total"] <= BUDGET_SECONDS and found["peak_bytes"] <= BUDGET_BYTES
        for found in results.values()
    )


def main() -> None:
    """Measure every method, then print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wells", type=int, default=2000)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--methods", nargs="+", default=["sphering", "tvn"])
    parser.add_argument("--permutations", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--no-budget", action="store_true", help="exit with 0 however long it took")
    options = parser.parse_args()
    use_cores(options.cores)
    table = made_profiles(options.wells, options.features)
    results = {method: measure(table, method, options.permutations) for method in options.methods}
    report = {
        "wells": table.num_rows,
        "features": options.features,
        "permutations": options.permutations,
        "cores": options.cores,
        "machine": f"{platform.system()} {platform.machine()}",
        "results": results,
        "within_budget": within_budget(results),
    }
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["within_budget"] or options.no_budget else 1)


def use_cores(count: int) -> None:
    """Keep this process, and the libraries that it has not loaded yet, to some cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))


if __name__ == "__main__":
    main()
