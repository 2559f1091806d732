"""A project made for scoring tables of other programs: an experiment for each variant of a request."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dp_assets.config.errors import ConfigurationError, Problem, ProjectError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.names import lane_name
from dp_assets.config.overrides import Overrides
from dp_assets.config.presets import PRESETS
from dp_assets.config.project import CONFIG_FOLDER
from dp_assets.config.stages import Stage
from dp_assets.orchestration.scoring_record import ScoringRecord, read_record
from dp_assets.orchestration.scoring_request import (
    ScoreRequest,
    Variant,
    chosen_variants,
    variant_settings,
)
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.fingerprints import fingerprint_bytes

DEFAULT_FOLDER = "scores"
# Settings that may say which wells are controls.
_CONTROL_KEYS = ("profiles.control", "dataset.metadata")


def default_folder(table: Path) -> Path:
    """Where the scores of a table go unless a project is named: `scores/<name of the table>`."""
    return Path(DEFAULT_FOLDER) / table.name.partition(".")[0]


def write_scoring_project(root: Path, request: ScoreRequest) -> list[str]:
    """Write the project of a request, or bring the one that is there up to date.

    The experiments that an earlier call wrote, and that are not asked for now, are taken away; their results
    stay. Files of others stay as they are.

    Parameters
    ----------
    root : the project folder; it need not exist.

    Returns
    -------
    The names of the experiments, in the order of the variants.

    Raises
    ------
    ProjectError : the folder is something else, is of other tables, or has a file that was edited; nothing
        says which wells are controls; an option does not go with the others.
    """
    variants = chosen_variants(request)
    _require_controls(request, variants)
    if request.settings:
        Overrides(request.settings).check()
    files = {variant.name: _text(variant_settings(request, variant)) for variant in variants}
    _check_files(files)
    record = read_record(root) or ScoringRecord([str(path) for path in request.tables])
    _require_same_tables(root, record, request)
    folder = root / CONFIG_FOLDER
    written = record.experiments
    _require_unedited(folder, files, written)
    folder.mkdir(parents=True, exist_ok=True)
    listed = {name: [fingerprint_bytes(text)] for name, text in files.items()}
    # Files of ours that the record does not know could not be told from a user's, should this be cut off.
    both = {name: [*written.get(name, []), *listed.get(name, [])] for name in {**written, **listed}}
    replace(record, experiments=both).write(root)
    for name, text in files.items():
        if not _holds(folder / f"{name}.json", listed[name]):
            write_bytes(folder / f"{name}.json", text)
    for name in set(written) - set(files):
        (folder / f"{name}.json").unlink(missing_ok=True)
    replace(record, experiments=listed).write(root)
    return [lane_name(name) for name in files]


def _require_controls(request: ScoreRequest, variants: Sequence[Variant]) -> None:
    needing = [v.name for v in variants if (v.normalization, v.correction) != ("none", "none")]
    given = any(text.strip().startswith(_CONTROL_KEYS) for text in request.settings)
    known = request.control is not None or given or PRESETS[request.preset].columns.names_controls
    if needing and not known:
        raise ProjectError(
            f"{', '.join(needing)} needs control wells, but nothing says which wells these are",
            where="--control",
            remedy="write it, for example --control Compound=DMSO; or use a preset such as bbbc021; "
            "or --variant uncorrected",
        )


def _check_files(files: Mapping[str, bytes]) -> None:
    """Raise ConfigurationError for settings that do not go together, before anything is written."""
    problems: list[Problem] = []
    with tempfile.TemporaryDirectory() as work:
        for name, text in files.items():
            path = Path(work) / f"{name}.json"
            path.write_bytes(text)
            found = load_experiment(path).problems(Stage.SCORING)
            problems += [replace(p, where=p.where.replace(str(path), f"variant {name}")) for p in found]
    if problems:
        raise ConfigurationError(problems)


def _require_same_tables(root: Path, record: ScoringRecord, request: ScoreRequest) -> None:
    if record.tables != [str(path) for path in request.tables]:
        raise ProjectError(
            f"the project is of other tables: {', '.join(record.tables)}",
            where=str(root),
            remedy="name another folder with --project",
        )


def _require_unedited(folder: Path, files: Mapping[str, bytes], written: Mapping[str, Sequence[str]]) -> None:
    problems = []
    for name in {**files, **written}:
        path = folder / f"{name}.json"
        ours = [*written.get(name, ()), *([fingerprint_bytes(files[name])] if name in files else [])]
        if path.exists() and not _holds(path, ours):
            problems.append(
                Problem(
                    "the file was edited, or is not of `dp-assets score`",
                    str(path),
                    "rename it (it is then an experiment beside the others), or delete it",
                )
            )
    if problems:
        raise ConfigurationError(problems)


def _holds(path: Path, fingerprints: Sequence[str]) -> bool:
    return path.is_file() and fingerprint_bytes(path.read_bytes()) in fingerprints


def _text(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
