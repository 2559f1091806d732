"""What the wells of a project let corrections and scores do, told before anything is computed."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import Problem
from dp_assets.config.protocol import ProfileProtocol, ScoringSettings
from dp_assets.orchestration.examination import Examination
from dp_assets.profiling.roles import treatment_conflicts
from dp_assets.profiling.treatments import batch_label_confounding
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONTROL, IS_CONTROL, LABEL, TREATMENT
from dp_assets.storage.schemas import PLATE, SITE, WELL

_MOST_SHOWN = 5
_OF_LABELS = frozenset(
    ("nsc", "nscb", "nscb_strict", "map", "enrichment", "precision_recall", "ranking", "consistency")
)
_OF_COMPOUNDS = frozenset(("nsc", "nscb", "nscb_strict", "consistency"))
_OF_BATCHES = frozenset(("nscb", "nscb_strict"))
_OF_REPLICATES = frozenset(("activity", "replicate_strength"))
_OF_CONTROLS = frozenset(("activity", "plate_effect"))


def examine_roles(found: Examination, roles: pa.Table, settings: ScoringSettings, file: str) -> None:
    """Note what keeps profiles from being corrected, and which scores will not apply.

    Parameters
    ----------
    found : problems and warnings are added here.
    roles : the result of `with_roles`: the sites or wells of the project, with or without features.
    settings : of the experiment.
    file : the experiment's file, for messages.
    """
    found.problems += _conflicts(roles, file)
    found.problems += _controls(roles, settings.profiles, file)
    found.warnings += _scores(roles, settings, file)
    found.warnings += _expectations(roles, settings, file)


def _conflicts(roles: pa.Table, file: str) -> list[Problem]:
    conflicts = treatment_conflicts(roles)
    more = f" (and {len(conflicts) - _MOST_SHOWN} more like this)" if len(conflicts) > _MOST_SHOWN else ""
    return [
        Problem(
            conflict + (more if number == _MOST_SHOWN - 1 else ""),
            f"{file}: profiles.treatment_fields",
            "correct the image index or the annotations, or name all columns that make a treatment",
        )
        for number, conflict in enumerate(conflicts[:_MOST_SHOWN])
    ]


def _controls(roles: pa.Table, protocol: ProfileProtocol, file: str) -> list[Problem]:
    """Plates (or batches) with fewer than two controls, where profiles are held against these."""
    normalization, columns = protocol.normalization, protocol.columns
    scaled = normalization.method != "none" and normalization.reference == "controls"
    corrected = protocol.correction.method != "none"
    needed_by = "profiles.correction" if corrected else "profiles.normalization"
    if not (scaled or corrected):
        return []
    if not any(value == IS_CONTROL for value in roles[CONTROL].to_pylist()):
        return [
            Problem(
                f"no well has {columns.control[0]} {' or '.join(map(repr, columns.control_values))}, "
                f"but {needed_by} needs control wells",
                f"{file}: profiles.control_values",
                "correct dataset.metadata.control_value, or profiles.control_field and control_values",
            )
        ]
    few: dict[str, tuple[str, list[str]]] = {}
    if scaled and normalization.by != "all":
        # A scale is taken from profiles, whatever these are of.
        of_sites = protocol.level == "site" and SITE in roles.column_names
        kind, column = ("plates", PLATE) if normalization.by == "plate" else ("batches", BATCH)
        profile = (PLATE, WELL, SITE) if of_sites else (PLATE, WELL)
        few[kind] = ("profiles.normalization", _with_few(roles, column, profile))
    if corrected:
        few["plates"] = ("profiles.correction", _with_few(roles, PLATE, (PLATE, WELL)))
    return [
        Problem(
            f"{len(groups)} {kind} have fewer than two control wells, which {asks} needs: {_some(groups)}",
            f"{file}: profiles.control_values",
            f"name more control values, leave these {kind} out, or write another method",
        )
        for kind, (asks, groups) in few.items()
        if groups
    ]


def _with_few(roles: pa.Table, column: str, profile: tuple[str, ...]) -> list[str]:
    """Plates or batches with fewer than two profiles of controls; columns `profile` name a profile."""
    names = (column, *profile, CONTROL)
    rows = set(zip(*(roles[name].to_pylist() for name in names), strict=True))
    counts = Counter(row[0] for row in rows if row[-1] == IS_CONTROL)
    return [group for group in sorted({row[0] for row in rows}) if counts[group] < 2]


def _scores(roles: pa.Table, settings: ScoringSettings, file: str) -> list[Problem]:
    """Metrics that are asked for and will not apply."""
    asked = set(settings.evaluation.settings.metrics)
    is_control = np.array([value == IS_CONTROL for value in roles[CONTROL].to_pylist()], bool)
    treated = roles.filter(pa.array(~is_control))
    labels, compounds = (set(filter(None, treated[name].to_pylist())) for name in (LABEL, COMPOUND))
    columns = settings.profiles.columns
    warnings = []
    if not labels:
        remedy = f"add a column {columns.label[0]} to the index or to a table of profiles.annotations"
        warnings.append(("no treatment has a label", _OF_LABELS, "evaluation.label_field", remedy))
    elif not compounds:
        remedy = f"add a column {columns.compound[0]}, or name yours"
        warnings.append(("no treatment has a compound", _OF_COMPOUNDS, "evaluation.compound_field", remedy))
    elif not _labels_of_several_compounds(treated, settings.evaluation.label_separator):
        what = "no two compounds share a label"
        remedy = "correct the labels; the metrics need labels of several compounds"
        warnings.append((what, _OF_COMPOUNDS, "evaluation.label_field", remedy))
    if len(set(filter(None, treated[BATCH].to_pylist()))) < 2:
        remedy = (
            "nothing needs to be done where there is one batch; else name profiles.correction.batch_field"
        )
        warnings.append(("there is a single batch", _OF_BATCHES, "profiles.correction.batch_field", remedy))
    if max(_wells_of_treatments(treated).values(), default=0) < 2:
        remedy = "name fewer columns where replicates differ in them, such as the dose"
        what = "no treatment has two wells"
        warnings.append((what, _OF_REPLICATES, "profiles.treatment_fields", remedy))
    if not is_control.any():
        remedy = "write dataset.metadata.control_value, or profiles.control_field and control_values"
        warnings.append(("no well is a control", _OF_CONTROLS, "profiles.control_values", remedy))
    return [
        Problem(f"{what}: {', '.join(sorted(metrics & asked))} will not apply", f"{file}: {key}", remedy)
        for what, metrics, key, remedy in warnings
        if metrics & asked
    ]


def _labels_of_several_compounds(treated: pa.Table, separator: str) -> bool:
    compounds: dict[str, set[str]] = {}
    for text, compound in zip(treated[LABEL].to_pylist(), treated[COMPOUND].to_pylist(), strict=True):
        for label in text.split(separator) if separator else [text]:
            if label.strip() and compound:
                compounds.setdefault(label.strip(), set()).add(compound)
    return any(len(found) > 1 for found in compounds.values())


def _wells_of_treatments(treated: pa.Table) -> Counter[str]:
    names = (PLATE, WELL, TREATMENT)
    wells = set(zip(*(treated[name].to_pylist() for name in names), strict=True))
    return Counter(treatment for _, _, treatment in wells)


def _expectations(roles: pa.Table, settings: ScoringSettings, file: str) -> list[Problem]:
    warnings = []
    separator = settings.evaluation.label_separator
    confounded = batch_label_confounding(roles, separator).labels_in_one_batch
    if confounded:
        warnings.append(
            Problem(
                f"{len(confounded)} labels are in a single batch, so that finding them may be finding the "
                f"batch: {_some(confounded)}",
                f"{file}: evaluation.label_field",
                "look at nscb as well as at nsc; it leaves these labels out",
            )
        )
    protocol = settings.profiles
    expected = protocol.expected
    treatments = {
        name
        for name, control in zip(roles[TREATMENT].to_pylist(), roles[CONTROL].to_pylist(), strict=True)
        if control != IS_CONTROL
    }
    if expected.treatments not in (None, len(treatments)):
        warnings.append(
            Problem(
                f"the preset {protocol.preset} stands for {expected.treatments} treatments; "
                f"there are {len(treatments)}",
                f"{file}: profiles.preset",
                "scores of part of a set do not compare with published ones",
            )
        )
    return warnings


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_SHOWN} more" if len(listed) > _MOST_SHOWN else ""
    return ", ".join(listed[:_MOST_SHOWN]) + more
