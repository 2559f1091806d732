"""Scores that look at single cells, where an experiment asks for them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import dagster as dg
import pyarrow as pa

from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.config.sections import PartitionSettings
from dp_assets.evaluation.first_hit import cell_first_hits
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import ScoreResult, not_applicable
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.profiling.cell_draws import CellDraws, draw_from_plates
from dp_assets.profiling.class_scores import TrainingImages, class_scores
from dp_assets.profiling.whitening import fit_whitening
from dp_assets.storage.model_card import ModelCard
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.tables import StoredTable

CELLS, MODEL, ANNOTATIONS = "cell_features", "trained_model", "plate_annotations"
_FROM_A_TABLE = "the features come from another program's table, which holds no cells of this project"


def asks_for_cells(protocol: EvaluationProtocol) -> bool:
    """Whether first hits of cells are asked for."""
    return "first_hit" in protocol.settings.metrics and "cell" in protocol.settings.first_hit_levels


def asks_for_classes(protocol: EvaluationProtocol) -> bool:
    """Whether the accuracy of class probabilities is asked for."""
    return "classifier" in protocol.settings.metrics


def cell_inputs(experiment: Experiment, protocol: EvaluationProtocol) -> dict[str, dg.AssetIn]:
    """The inputs that scores of cells need; none where nobody asks for them."""
    if experiment.has_features:
        return {}
    wanted = asks_for_cells(protocol) or asks_for_classes(protocol)
    all_plates = dg.AllPartitionMapping()
    inputs = {}
    if wanted:
        inputs[CELLS] = dg.AssetIn(
            [experiment.name, CELLS], metadata={**FAN_IN, "lazy": True}, partition_mapping=all_plates
        )
    if asks_for_classes(protocol):
        inputs[MODEL] = dg.AssetIn([experiment.name, MODEL])
        inputs[ANNOTATIONS] = dg.AssetIn(metadata=FAN_IN, partition_mapping=all_plates)
    return inputs


def cell_scores(
    wells: pa.Table,
    features: Mapping[str, StoredTable],
    model: ModelFolder | None,
    annotations: Mapping[str, pa.Table],
    experiment: Experiment,
) -> tuple[tuple[str, ScoreResult], ...]:
    """The scores of cells that are asked for, with the names of their families.

    Parameters
    ----------
    wells : table of schema `profiles`.
    features : plate -> cell features; empty for tables of another program.
    model : says which classes its outputs are; None unless the accuracy of classes is asked for.
    annotations : plate -> plate_annotations; as `model`.
    experiment : whose protocol says which scores, with which lambda cells are sphered, and which images the
        model was trained on.
    """
    scoring = experiment.scoring()
    protocol = scoring.evaluation
    found = []
    if asks_for_cells(protocol):
        regularization = scoring.profiles.correction.regularization
        found.append(("first_hit", _first_hits(wells, features, protocol, regularization)))
    if asks_for_classes(protocol):
        found.append(("classifier", _classes(features, model, annotations, experiment)))
    return tuple(found)


def _first_hits(
    wells: pa.Table, features: Mapping[str, StoredTable], protocol: EvaluationProtocol, regularization: float
) -> ScoreResult:
    if not features:
        return _refused("first_hit_cell", _FROM_A_TABLE)
    settings = protocol.settings
    draws = draw_from_plates(
        CellDraws(
            wells,
            per_well=settings.cells_per_well,
            repeats=settings.first_hit_repeats,
            control_cells=settings.control_cells,
            seed=settings.seed,
        ),
        features,
    )
    controls = draws.controls()
    if len(controls) < 2:
        return _refused("first_hit_cell", "there are no control cells to sphere with")
    whitening = fit_whitening(controls, regularization, "zca")

    def sphered() -> Iterator[ProfileSet]:
        for cells in draws.repeats():
            yield replace(cells, features=whitening.apply(cells.features))

    result = cell_first_hits(sphered(), protocol)
    how = f"{settings.cells_per_well} cells of a well, sphered on {len(controls)} control cells"
    few = f"wells with fewer than {settings.cells_per_well} cells"
    left_out = {few: draws.too_few} if draws.too_few else {}
    scores = [
        replace(
            score,
            protocol=f"{score.protocol}; {how}, lambda {regularization:g}",
            excluded={**score.excluded, **left_out},
        )
        for score in result.scores
    ]
    return ScoreResult(tuple(scores), result.tables)


def _classes(
    features: Mapping[str, StoredTable],
    model: ModelFolder | None,
    annotations: Mapping[str, pa.Table],
    experiment: Experiment,
) -> ScoreResult:
    if not features or model is None:
        return _refused("accuracy_cells", _FROM_A_TABLE)
    partition = experiment.sections.partition.settings
    column, classes = _head(model.card, experiment.profiling().profile.feature_layer, partition)
    if not column:
        return _refused("accuracy_cells", "the model does not say which column its classes come from")
    training = None
    if model.card.source == "train" and partition is not None:
        training = TrainingImages(annotation_column(partition.split_field), tuple(partition.training))
    return class_scores(
        features,
        annotations,
        annotation_column(column),
        classes,
        experiment.scoring().evaluation,
        training=training,
    )


def _head(card: ModelCard, layer: str, partition: PartitionSettings | None) -> tuple[str, tuple[str, ...]]:
    """The label column and the classes of the output that is profiled; models of old name no column."""
    for column, classes in card.heads.items():
        if layer.casefold() in (column.casefold(), f"classprob_{column}".casefold()):
            return column, classes
    first = partition.targets[0] if partition is not None else ""
    return next(iter(card.heads), first), card.classes


def _refused(name: str, reason: str) -> ScoreResult:
    return ScoreResult((not_applicable(name, "treatments", "scores of single cells", reason),))
