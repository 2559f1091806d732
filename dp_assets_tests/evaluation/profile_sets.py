"""Profile sets for tests of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dp_assets.config.evaluation_sections import EvaluationSettings
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult


def profiles(
    features: np.ndarray, *, level: str = "treatment", controls: Sequence[bool] | None = None, **roles: Any
) -> ProfileSet:
    """A profile set; roles that are not given are "", and treatments are numbered unless given."""
    values = np.asarray(features, np.float64)
    texts = {
        role: np.array(list(roles.pop(role, [""] * len(values))), object)
        for role in ("compounds", "labels", "batches", "plates", "wells", "concentrations")
    }
    treatments = roles.pop("treatments", [f"t{row}" for row in range(len(values))])
    assert not roles, roles
    return ProfileSet(
        level=level,
        features=values,
        names=np.array([f"f{column}" for column in range(values.shape[1])], object),
        treatments=np.array(list(treatments), object),
        is_control=np.array(controls if controls is not None else [False] * len(values), bool),
        **texts,
    )


def evaluation(
    separator: str = "|", excluded_labels: tuple[str, ...] = (), **settings: Any
) -> EvaluationProtocol:
    """A protocol with few resamples, unless the settings say otherwise."""
    settings.setdefault("bootstraps", 50)
    hidden = settings.pop("exclude_from_wells", ())
    return EvaluationProtocol(
        label_separator=separator,
        excluded_labels=excluded_labels,
        exclude_from_wells=hidden,
        settings=EvaluationSettings.model_validate(settings),
    )


def score(result: ScoreResult, name: str) -> Score:
    """The one score of this name."""
    (found,) = [one for one in result.scores if one.name == name]
    return found
