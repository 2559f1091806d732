"""An experiment's published profiles, gathered and written for other programs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa

from dp_assets.config.errors import ProjectError, StoreError
from dp_assets.config.names import asked_lane
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import load_project
from dp_assets.config.stages import Stage
from dp_assets.interchange.profile_export_gct import export_gct
from dp_assets.interchange.profile_export_h5ad import export_h5ad
from dp_assets.interchange.profile_export_jump import export_jump
from dp_assets.interchange.profile_export_table import export_csv, export_parquet
from dp_assets.orchestration.profile_inputs import RAW, raw_profiles
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.tables import read_table

ProfileLevel = Literal["well", "treatment", "site"]
ProfileFormat = Literal["jump", "csv", "parquet", "h5ad", "gct"]

# Which asset holds the profiles of a level.
CORRECTED: dict[ProfileLevel, str] = {
    "well": "profiles",
    "treatment": "treatment_profiles",
    "site": "corrected_sites",
}
# The endings of each format; a folder has none.
ENDINGS: dict[ProfileFormat, tuple[str, ...]] = {
    "csv": (".csv", ".csv.gz"),
    "parquet": (".parquet",),
    "h5ad": (".h5ad",),
    "gct": (".gct",),
}
_WRITERS: dict[ProfileFormat, Callable[..., Path]] = {
    "csv": export_csv,
    "parquet": export_parquet,
    "h5ad": export_h5ad,
    "gct": export_gct,
}


class PublishedProfiles:
    """The published profiles of one experiment.

    Parameters
    ----------
    root : the project folder.
    experiment : its name, or its file's.

    Raises
    ------
    ConfigurationError : `project.yaml` is wrong.
    """

    def __init__(self, root: Path, experiment: str) -> None:
        self.name = asked_lane(experiment)
        self._project = load_project(root, overrides=Overrides.from_environment(os.environ))
        self._resource = ProjectResource.of(self._project)

    def corrected(self, level: ProfileLevel) -> pa.Table:
        """The normalized and corrected profiles of all plates.

        Raises
        ------
        StoreError : they have not been made.
        """
        asset = CORRECTED[level]
        path = self._resource.path((self.name, asset), None, ".parquet")
        try:
            return read_table(path)
        except FileNotFoundError as error:
            raise self._missing(asset, str(path)) from error

    def raw(self, level: ProfileLevel) -> pa.Table:
        """The profiles of all plates before normalization, with what each row is.

        Raises
        ------
        ProjectError : they have not been made, or the experiment's file cannot be used.
        """
        if level == "treatment":
            raise ProjectError(
                "profiles of treatments are made of corrected ones; there are no raw ones",
                where="--raw",
                remedy="leave it out, or use --level well",
            )
        experiment = self._project.experiments.get(self.name)
        if experiment is None:
            raise self._missing(RAW[level], f"experiment {self.name}")
        # Everything is exported; what has no label is left out of scores only.
        protocol = experiment.scoring().profiles.model_copy(update={"labelled_only": False})
        if experiment.has_features:
            path = self._resource.path((self.name, RAW[level]), None, ".parquet")
            tables = read_table(path) if path.exists() else None
        else:
            path = self._resource.path((self.name, RAW[level]))
            files = sorted(path.glob("*.parquet")) if path.exists() else []
            tables = {file.stem: read_table(file) for file in files} or None
        if tables is None:
            raise self._missing(RAW[level], str(path))
        return raw_profiles(tables, level, protocol, self._resource, self.name).table

    def _missing(self, asset: str, where: str) -> StoreError:
        known = ", ".join(
            name for name, found in self._project.experiments.items() if Stage.SCORING in found.stages
        )
        unknown = self.name not in self._project.experiments
        return StoreError(
            f"there is no experiment {self.name} with profiles; there are: {known or 'none'}"
            if unknown
            else f"experiment {self.name} has no {asset} yet",
            where=where,
            remedy=f"correct the name, or run `dp-assets run evaluate --experiment {self.name}` first",
        )


def format_of(output: Path, asked: ProfileFormat | None) -> ProfileFormat:
    """The format to write: the one asked for, else by the ending; a name without a known ending is a folder.

    Raises
    ------
    ProjectError : the ending is that of another format, or says nothing of one that is a file.
    """
    name = output.name.lower()
    by_ending = next((form for form, ends in ENDINGS.items() if name.endswith(ends)), None)
    if asked is None:
        if by_ending is None and output.suffix[1:2].isalpha() and not output.is_dir():
            known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
            raise ProjectError(
                f"no format is known by the ending {output.suffix}",
                where=str(output),
                remedy=f"use one of {known}; for a folder of this name say --format jump",
            )
        return by_ending or "jump"
    if asked != (by_ending or "jump"):
        wanted = " or ".join(ENDINGS.get(asked, ("no ending: it is a folder",)))
        raise ProjectError(
            f"{output.name!r} is no name for the format {asked}",
            where="OUTPUT",
            remedy=f"write a name with the ending {wanted}, or another --format"
            if asked in ENDINGS
            else "name a folder: JUMP's layout has a file per plate",
        )
    return asked


def export_profiles(
    table: pa.Table,
    output: Path,
    form: ProfileFormat,
    *,
    source: str | None = None,
    with_csv: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write profiles in a format; returns the files.

    Parameters
    ----------
    source, with_csv : of the format "jump" only (see `export_jump`).

    Raises
    ------
    ProjectError : a file is there and may not be overwritten, the profiles do not fit the format, or an
        option is not of this format.
    """
    if form == "jump":
        return export_jump(table, output, source=source, with_csv=with_csv, overwrite=overwrite)
    for option, given in {"--source": source is not None, "--csv": with_csv}.items():
        if given:
            raise ProjectError(
                f"the format {form} has no such option",
                where=option,
                remedy="leave it out, or use --format jump",
            )
    return [_WRITERS[form](table, output, overwrite=overwrite)]
