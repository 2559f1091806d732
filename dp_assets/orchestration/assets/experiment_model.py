"""An experiment's training set and model."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack

import dagster as dg
import pandas as pd
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import TrainingDataError
from dp_assets.config.experiment import Experiment
from dp_assets.config.network import BUILT_IN_NETWORKS, NETWORKS_WITHOUT_CLASSES
from dp_assets.config.stages import TrainingSettings
from dp_assets.orchestration.accelerator_resource import DEVICES_METADATA, AcceleratorResource
from dp_assets.orchestration.assets.single_cells import PREFIX, rows_per_label
from dp_assets.orchestration.crop_inputs import image_inputs, is_full_image
from dp_assets.orchestration.crop_supplies import supply_digest, supply_inputs, supply_of_inputs
from dp_assets.orchestration.grey_levels import ILLUMINATION, ranges_of_plates, statistics_inputs
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.orchestration.model_imports import import_description, import_plan, run_import
from dp_assets.orchestration.model_runs import run_training, training_plan
from dp_assets.orchestration.outputs import FolderOutput, Metadata, TableOutput, unchanged
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    check,
    checks,
    identified,
    judged_checks,
    picture,
    schema_check,
    table_checks,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.training_checks import (
    SANE,
    TRAINING_SET_CHECKS,
    balance_check,
    leakage_checks,
    predictions_check,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.atomic import is_local
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import Folder
from dp_assets.storage.model_folder import LOG_FILE, TENSORBOARD
from dp_assets.storage.schemas import PLATE
from dp_assets.storage.tables import read_provenance, with_provenance
from dp_assets.training.crop_supply import CropSupply, crop_origin, plates_of, require_trainable
from dp_assets.training.import_plan import VERSION as IMPORT_VERSION
from dp_assets.training.model_plan import VERSION, learning_digest
from dp_assets.training.training_set import (
    TRAINING,
    VALIDATION,
    Partition,
    TrainingSet,
    build_training_set,
    images_of,
    plates_in_use,
)

SHEET_ROWS, SHEET_COLUMNS = 8, 8
_MEMBERS = {"stores": "cells", "images": "cells", "views": "images"}
_ORIGINS = {
    "stores": "crop stores",
    "images": "images: crops are cut while training",
    "views": "images: random views are cut while training",
}


def partition_of(settings: TrainingSettings) -> Partition:
    """How an experiment divides the images."""
    part = settings.partition
    first, *further = part.targets
    return Partition(first, part.split_field, part.training, part.validation, tuple(further))


def training_set_asset(experiment: Experiment, rules: ChecksSettings) -> dg.AssetsDefinition:
    """The cells an experiment trains and validates on; `rules` say which checks block."""
    settings = experiment.training()
    key = dg.AssetKey([experiment.name, "training_set"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=settings_digest(settings.partition) + supply_digest(settings),
        ins={
            "plate_annotations": dg.AssetIn(metadata=FAN_IN, partition_mapping=dg.AllPartitionMapping()),
            **supply_inputs(settings),
            **statistics_inputs(settings, all_plates=True),
        },
        check_specs=[
            *table_checks(key, "classes_validated"),
            *judged_checks(key, rules, *TRAINING_SET_CHECKS),
        ],
        description=(
            f"The {_MEMBERS[crop_origin(settings)]} that {experiment.name} is trained and validated on, with "
            f"their class: images are divided by the index column {settings.partition.split_field}, classes "
            f"come from {', '.join(settings.partition.targets)}. "
            "Its data version is its members and what their crops are made from."
        ),
    )
    def training_set(
        project: ProjectResource, plate_annotations: dict, **inputs: dict
    ) -> dg.MaterializeResult:
        with user_errors():
            require_trainable(settings)
            # results of a plate that was taken out of the index do not train
            annotations = project.in_index(plate_annotations)
            _require_plates(annotations, settings)
            partition = partition_of(settings)
            supply = supply_of_inputs(settings, plates_in_use(annotations, partition), inputs, project)
            listed = {plate: supply.listing(plate) for plate in plates_in_use(annotations, partition)}
            found = build_training_set(
                annotations, listed, partition, least_classes=_least_classes(settings.network.name)
            )
            ranges = ranges_of_plates(settings, plates_of(found.cells), inputs.get(ILLUMINATION, {}))
            rules = project.check_rules
            judged_by_split = [
                *leakage_checks(rules, found.cells, project),
                balance_check(rules, Counter(found.part(TRAINING)["target"].to_pylist())),
            ]
        cells = with_provenance(
            found.cells,
            heads=found.heads,
            left_out=found.left_out,
            unlabelled=found.unlabelled,
            sources=supply.fingerprints(found.cells),
            plate_ranges=ranges,
        )
        table, _ = identified(cells)
        version = dg.DataVersion(training_set_version(table))
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _training_set_facts(found, supply, settings)),
            data_version=version,
            check_results=[
                schema_check(table, "training_set"),
                _classes_validated(found),
                *judged_by_split,
            ],
        )

    return training_set


def _least_classes(network: str) -> int:
    """How many classes a network needs to learn anything; what a plugin needs shows when it is trained."""
    return 2 if network in BUILT_IN_NETWORKS - NETWORKS_WITHOUT_CLASSES else 1


def _require_plates(annotations: Mapping[str, pa.Table], settings: TrainingSettings) -> None:
    if not annotations:
        needed = (
            [f"{PREFIX}/{settings.set_name}"]
            if crop_origin(settings) == "stores"
            else [*image_inputs(settings)]
        )
        raise TrainingDataError(
            "no plate is ready for training",
            where="plate_annotations",
            remedy=f"materialize image_index, then plate_annotations and {', '.join(needed)} of the plates",
        )


def training_set_version(table: pa.Table) -> str:
    """Members, classes and what the crops are made from: what a model depends on."""
    facts = read_provenance(table.schema)
    return fingerprint(facts["fingerprint"], facts["sources"], facts["heads"], facts["plate_ranges"])


def _classes_validated(found: TrainingSet) -> dg.AssetCheckResult:
    validated = set(found.part(VALIDATION)["target"].to_pylist())
    missing = [name for name in found.classes if name not in validated]
    return check("classes_validated", not missing, without_validation_cells=", ".join(missing) or "none")


def _training_set_facts(found: TrainingSet, supply: CropSupply, settings: TrainingSettings) -> Metadata:
    counts = {split: Counter(found.part(split)["target"].to_pylist()) for split in (TRAINING, VALIDATION)}
    rows = [
        dg.TableRecord({"class": name, **{split: counts[split][name] for split in counts}})
        for name in found.classes
    ]
    left_out = [f"{count} flat in {channel}" for channel, count in found.left_out.items()]
    left_out += [f"{count} without a value of {target}" for target, count in found.unlabelled.items()]
    return {
        "drawn_from": _ORIGINS[crop_origin(settings)],
        "classes": len(found.classes),
        **{f"classes_of_{target}": len(classes) for target, classes in found.heads[1:]},
        "plates": ", ".join(found.cells[PLATE].unique().to_pylist()),
        "training_cells": counts[TRAINING].total(),
        "validation_cells": counts[VALIDATION].total(),
        "cells_left_out": ", ".join(left_out) or "none",
        "cells_per_class": dg.MetadataValue.table(rows),
        "crops": picture(_sheet(found, supply, settings), "crops by class"),
    }


def _sheet(found: TrainingSet, supply: CropSupply, settings: TrainingSettings) -> bytes:
    """Some cells of some classes; of one image a class where they have to be cut out of images."""
    from dp_assets.figures.crop_sheet import crop_sheet

    cells = found.cells
    if crop_origin(settings) != "stores":
        cells = cells.take(_first_image_of_each(cells))
    labels = cells["target"].to_pylist()
    rows = rows_per_label(labels, SHEET_ROWS, SHEET_COLUMNS)
    title = "Views" if is_full_image(settings) else "Single cells"
    return crop_sheet(
        supply.pixels(cells.take(rows)), [labels[row] for row in rows], settings.images.channels, title
    )


def _first_image_of_each(cells: pa.Table) -> list[int]:
    """The rows of the first image of every class."""
    first: dict[str, int] = {}
    images = images_of(cells)[0]
    return [
        row
        for row, (label, image) in enumerate(zip(cells["target"].to_pylist(), images, strict=True))
        if first.setdefault(label, image) == image
    ]


def trained_model_asset(experiment: Experiment, rules: ChecksSettings) -> dg.AssetsDefinition:
    """The experiment's model: trained here, or a checkpoint brought from elsewhere."""
    return _trained(experiment, rules) if experiment.model_source == "train" else _imported(experiment)


def _trained(experiment: Experiment, rules: ChecksSettings) -> dg.AssetsDefinition:
    settings = experiment.training()
    key = dg.AssetKey([experiment.name, "trained_model"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"keras"},
        io_manager_key="model_io",
        pool="gpu",
        metadata={DEVICES_METADATA: settings.network.devices} if settings.network.devices > 1 else None,
        code_version=f"{VERSION}-{learning_digest(settings)}",
        check_specs=[*checks(key, "learned"), *judged_checks(key, rules, SANE)],
        description=(
            f"{settings.network.name} trained to tell the classes apart for {settings.network.epochs} "
            "epochs. A killed run goes on after its last finished epoch."
        ),
    )
    def trained_model(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        accelerator: AcceleratorResource,
        training_set: pa.Table,
    ) -> dg.MaterializeResult:
        writer = None
        with user_errors(), ExitStack() as held:
            rules = project.check_rules
            plan = training_plan(experiment, training_set, project, accelerator.precision)
            content = plan.fingerprint(training_set_version(training_set))
            if config.force or not project.is_current(context, "", content):
                held.enter_context(project.work(context).locked())
                writer = run_training(context, plan, content, project, accelerator, force=config.force)
            manifest = writer.facts if writer else project.published_folder(context).manifest
            found = [_learned(manifest["card"]), predictions_check(rules, manifest.get("predictions"))]
            output = FolderOutput(
                writer,
                lambda folder: {**_model_facts(folder), **unchanged(writer is not None)},
                held=held.pop_all(),
            )
        return dg.MaterializeResult(value=output, data_version=dg.DataVersion(content), check_results=found)

    return trained_model


def _imported(experiment: Experiment) -> dg.AssetsDefinition:
    settings = experiment.profiling()
    key = dg.AssetKey([experiment.name, "trained_model"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"keras"},
        io_manager_key="model_io",
        code_version=f"{IMPORT_VERSION}-{settings_digest(settings)}",
        description=import_description(experiment),
    )
    def trained_model(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        accelerator: AcceleratorResource,
    ) -> dg.MaterializeResult:
        writer = None
        with user_errors():
            plan = import_plan(experiment, project, accelerator.precision)
            if config.force or not project.is_current(context, "", plan.fingerprint):
                writer = run_import(context, plan, accelerator)
        return dg.MaterializeResult(
            value=FolderOutput(
                writer, lambda folder: {**_model_facts(folder), **unchanged(writer is not None)}
            ),
            data_version=dg.DataVersion(plan.fingerprint),
        )

    return trained_model


def _learned(card: Mapping) -> dg.AssetCheckResult:
    """Whether the network does better than guessing among the classes."""
    chance = 1 / max(1, len(card["classes"]))
    accuracy = card["scores"].get("val_accuracy", card["scores"].get("accuracy"))
    passed = accuracy is None or accuracy > chance
    return check(
        "learned", passed, chance=round(chance, 4), accuracy=accuracy if accuracy is not None else "unknown"
    )


def _model_facts(folder: Folder) -> Metadata:
    from dp_assets.figures.training_curves import training_curves

    card = folder.manifest["card"]
    facts: dict[str, dg.MetadataValue | str | int | float] = {
        "network": f"{card['network']}, conv_blocks {card['conv_blocks']}",
        "channels": ", ".join(card["channels"]),
        **({"devices": card["devices"]} if card.get("devices", 1) > 1 else {}),
        **{f"last_{name}": round(value, 5) for name, value in card["scores"].items()},
    }
    for channels, count in folder.manifest.get("flat_crops", {}).items():
        facts[f"crops_flat_in_{channels}"] = count
    log = folder.path / LOG_FILE
    if log.exists():
        with log.open("rb") as stream:
            facts["curves"] = picture(training_curves(pd.read_csv(stream)), "training curves")
        curves = folder.path / TENSORBOARD
        if is_local(curves):
            facts["tensorboard"] = f"tensorboard --logdir {curves}"
        else:
            # TensorBoard reads no object stores by itself
            facts["tensorboard"] = f"copy {curves} to this machine, then: tensorboard --logdir FOLDER"
    facts["model_card"] = dg.MetadataValue.json({k: v for k, v in card.items() if k != "layers"})
    return facts
