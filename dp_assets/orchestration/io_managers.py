"""IO managers: they own the paths, enforce the schemas, and publish atomically, here or at any fsspec URL."""

# ruff: noqa: ARG002 (Dagster decides what methods are given)

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster import UPathIOManager
from upath import UPath

from dp_assets.config.project import DEFAULT_CACHE_GIGABYTES
from dp_assets.orchestration.outputs import (
    FolderOutput,
    IlluminationOutput,
    Output,
    StoredIllumination,
    TableOutput,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.atomic import is_local
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import Folder, open_folder, publish_folder, tidy_folder
from dp_assets.storage.layout import CacheSettings, ProjectLayout
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.published import published_fingerprint, write_arrays
from dp_assets.storage.schemas import SCHEMAS, TableSchema
from dp_assets.storage.tables import StoredTable, TableStream, read_provenance, read_table, write_table

FAN_IN = {"fan_in": True, "allow_missing_partitions": True}


class ProjectIOManager(UPathIOManager):
    """Paths of the project's layout, metadata of what was published, fan-in inputs that are always dicts."""

    def __init__(self, layout: ProjectLayout) -> None:
        super().__init__(UPath(layout.store))
        self._layout = layout
        self._described: dict[str, Any] = {}

    def make_directory(self, path: UPath) -> None:
        """Object stores have no folders; asking for one would make a bucket whose name is mistyped."""
        if is_local(path):
            path.mkdir(parents=True, exist_ok=True)

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        """The asset's place in the project tree."""
        return UPath(self._layout.place(tuple(context.asset_key.path)))

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Publish; a problem the user can mend becomes a failure that says how."""
        with user_errors(), obj.held if isinstance(obj, Output) else nullcontext():
            super().handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> Any:
        """Load; a missing input says which asset to materialize."""
        try:
            with user_errors():
                if (context.definition_metadata or {}).get("fan_in") and context.has_asset_partitions:
                    return self._load_all(context)
                return super().load_input(context)
        except FileNotFoundError as error:
            key = context.asset_key.to_user_string()
            plate = (
                f" for plate {', '.join(context.asset_partition_keys)}"
                if context.has_asset_partitions
                else ""
            )
            raise dg.Failure(
                f"{key}{plate} is not there ({error})\n    -> materialize {key}{plate} first",
                allow_retries=False,
            ) from None

    def _load_all(self, context: dg.InputContext) -> dict[str, Any]:
        """Every plate that is there, by name; plates that are not yet made are left out."""
        loaded = {}
        for partition, path in self._get_paths_for_partitions(context).items():
            try:
                loaded[partition] = self.load_from_path(context, path)
            except FileNotFoundError:
                context.log.debug(f"{partition} is not materialized yet")
        return loaded

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, Any]:
        """What the last `dump_to_path` found to say about the published result."""
        described, self._described = self._described, {}
        return described


class TableIOManager(ProjectIOManager):
    """Parquet tables, schema enforced. Loads a pyarrow table, or a handle for inputs with `lazy` metadata."""

    extension = ".parquet"

    def dump_to_path(self, context: dg.OutputContext, obj: pa.Table | TableOutput, path: UPath) -> None:
        """Write the table, unless the published one is kept."""
        table = obj.table if isinstance(obj, TableOutput) else obj
        if table is not None and not _same_content(table, path):
            write_table(path, table, self._schema(context))
        if isinstance(table, TableStream):
            table.finished()
        stored = StoredTable(path)
        self._described = {
            **_table_facts(stored),
            **(obj.describe(stored) if isinstance(obj, TableOutput) else {}),
        }

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pa.Table | StoredTable:
        """The table, or a handle when the input asks for one."""
        if not (context.definition_metadata or {}).get("lazy"):
            return read_table(path)
        if not path.exists():
            raise FileNotFoundError(str(path))
        return StoredTable(path)

    @staticmethod
    def _schema(context: dg.OutputContext) -> TableSchema:
        return SCHEMAS[context.asset_key.path[-1]]


def _same_content(table: pa.Table | TableStream, path: UPath) -> bool:
    """Whether what is published holds the very same rows, so that the file can stay as it is."""
    if isinstance(table, TableStream):
        return False
    facts = read_provenance(table.schema)
    if facts.get("fingerprint") is None or published_fingerprint(path) != facts["fingerprint"]:
        return False
    return read_provenance(StoredTable(path).schema()) == facts


def _table_facts(stored: StoredTable) -> dict[str, Any]:
    """Row count and columns, named as Dagster shows them; long feature lists are shortened."""
    schema = stored.schema()
    shown = list(schema)[:40]
    columns = [dg.TableColumn(field.name, str(field.type)) for field in shown]
    return {
        "dagster/row_count": stored.row_count(),
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "column_count": len(schema.names),
        "bytes": stored.path.stat().st_size,
    }


class ArraysIOManager(ProjectIOManager):
    """Illumination functions as npz files."""

    extension = ".npz"

    def dump_to_path(self, context: dg.OutputContext, obj: IlluminationOutput, path: UPath) -> None:
        """Write the functions, unless the published ones are kept."""
        if obj.stored is not None:
            write_arrays(path, obj.stored.functions.to_arrays(), obj.stored.fingerprint)
            obj.finished()
        functions = StoredIllumination.read(path).functions
        self._described = {"bytes": path.stat().st_size, **obj.describe(functions)}

    def load_from_path(self, context: dg.InputContext, path: UPath) -> StoredIllumination:
        """The functions with what they were made from."""
        return StoredIllumination.read(path)


class FolderIOManager(ProjectIOManager):
    """Folders with a manifest; loads a handle."""

    extension = None

    def dump_to_path(self, context: dg.OutputContext, obj: FolderOutput, path: UPath) -> None:
        """Fill and publish the folder, unless the published one is kept."""
        if obj.writer is not None:
            published = publish_folder(path, obj.writer)
            obj.writer.finished()
        else:
            published = open_folder(path)
            tidy_folder(path)
        self._described = {"bytes": published.size(), **obj.describe(published)}

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Folder | CropStore | ModelFolder:
        """A handle on the published folder."""
        return open_folder(path)


class CropStoreIOManager(FolderIOManager):
    """Crop stores; loads a handle that reads windows on demand."""

    def load_from_path(self, context: dg.InputContext, path: UPath) -> CropStore:
        """A handle on the published store."""
        return CropStore.open(path)


class ModelIOManager(FolderIOManager):
    """Model folders; loads a handle with the model card."""

    def load_from_path(self, context: dg.InputContext, path: UPath) -> ModelFolder:
        """A handle on the published model."""
        return ModelFolder.open(path)


class ProjectIO(dg.ConfigurableIOManagerFactory):
    """Makes the IO managers of a project.

    Attributes
    ----------
    root : the project folder.
    store : where outputs lie (path or fsspec URL); empty for `<root>/outputs`.
    cache, cache_gigabytes : as in `ProjectResource`.
    kind : "table", "arrays", "folder", "crop_store" or "model".
    """

    root: str
    store: str = ""
    cache: str = ""
    cache_gigabytes: float = DEFAULT_CACHE_GIGABYTES
    kind: str

    def create_io_manager(self, context: dg.InitResourceContext) -> ProjectIOManager:
        """The IO manager of this kind."""
        cache = CacheSettings(self.cache or None, self.cache_gigabytes)
        return KINDS[self.kind](ProjectLayout.of(Path(self.root), self.store or None, cache=cache))


KINDS: dict[str, Callable[[ProjectLayout], ProjectIOManager]] = {
    "table": TableIOManager,
    "arrays": ArraysIOManager,
    "folder": FolderIOManager,
    "crop_store": CropStoreIOManager,
    "model": ModelIOManager,
}


def io_managers(root: str, store: str, cache: CacheSettings | None = None) -> dict[str, ProjectIO]:
    """Resource key -> IO manager factory, for a project, its store and its cache."""
    cache = cache or CacheSettings()
    return {
        f"{kind}_io": ProjectIO(
            root=root,
            store=store,
            cache=cache.folder or "",
            cache_gigabytes=cache.gigabytes,
            kind=kind,
        )
        for kind in KINDS
    }
