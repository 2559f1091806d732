"""Plugin files of a project: Python files in its folder `plugins`, imported under names of their own."""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType

import keras

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import Architecture

PACKAGE = "dp_assets_project_plugins"


@dataclass(frozen=True)
class ProjectPlugins:
    """What the plugin files of a project define.

    Attributes
    ----------
    networks : `Architecture` objects at module level, by lower-case name.
    modules : the imported files, in the order of their names; other plugins (`METRICS`, `FEEDS`) are looked
        up in them.
    """

    networks: Mapping[str, Architecture] = field(default_factory=lambda: MappingProxyType({}))
    modules: tuple[ModuleType, ...] = ()

    def file_of(self, network: str) -> str:
        """The file that defines a network."""
        architecture = self.networks[network]
        return next(str(x.__file__) for x in self.modules if architecture in _architectures_of(x))


@dataclass(frozen=True)
class _Loaded:
    """The plugins of this process, and what takes them out again."""

    folder: Path | None = None
    content: str = ""
    plugins: ProjectPlugins = field(default_factory=ProjectPlugins)
    keras_names: frozenset[str] = frozenset()


_lock = threading.RLock()
_loaded = _Loaded()


def load_project_plugins(folder: Path) -> ProjectPlugins:
    """Import the plugin files of a project and make them the ones of this process.

    Files are read again when one of them has changed; plugins of another project are taken out first. Plugin
    files run with the rights of the user, like any program.

    Parameters
    ----------
    folder : the project's folder `plugins`; without it there are no plugins. All its `*.py` files are
        imported except those that begin with `_`, which the others may import (`from ._layers import ...`).

    Raises
    ------
    ModelError : a file cannot be imported (file and line are named), or two networks have the same name.
    """
    global _loaded
    folder = folder.resolve()
    with _lock:
        content = _content(folder)
        if (_loaded.folder, _loaded.content) != (folder, content):
            _unload()
            known = set(keras.saving.get_custom_objects())
            try:
                plugins = _collected(_imported(folder))
            finally:
                added = frozenset(keras.saving.get_custom_objects()) - known
                _loaded = _Loaded(keras_names=added)
            _loaded = _Loaded(folder, content, plugins, added)
        return _loaded.plugins


def project_plugins() -> ProjectPlugins:
    """The plugins that were loaded last in this process."""
    return _loaded.plugins


def _content(folder: Path) -> str:
    """A fingerprint of all Python files of the folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _unload() -> None:
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    for name in _loaded.keras_names:
        keras.saving.get_custom_objects().pop(name, None)


def _imported(folder: Path) -> list[ModuleType]:
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package
    importlib.invalidate_caches()
    return [_import(path) for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Reads the source always: bytecode kept beside it is told from the source by whole seconds only."""

    def path_stats(self, path: str) -> Mapping[str, int]:
        raise OSError(f"no bytecode is kept for {path}")


def _import(path: Path) -> ModuleType:
    name = f"{PACKAGE}.{path.stem}"
    if name in sys.modules:  # another plugin file imported it
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a plugin raises while it is imported is the plugin's fault
        raise ModelError(
            f"the plugin cannot be imported: {type(error).__name__}: {error}",
            where=_place(path, error),
            remedy="repair the file, or begin its name with _ to leave it out",
        ) from error
    return module


def _place(path: Path, error: Exception) -> str:
    """File and line of the plugin folder at which an import failed."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == path.parent
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)


def _collected(modules: list[ModuleType]) -> ProjectPlugins:
    networks: dict[str, Architecture] = {}
    for module in modules:
        for value in _architectures_of(module):
            name = value.name.lower()
            if networks.setdefault(name, value) is not value:
                raise ModelError(
                    f"two plugins define a network named {name!r}",
                    where=str(module.__file__),
                    remedy="give one of them another name",
                )
    return ProjectPlugins(MappingProxyType(networks), tuple(modules))


def _architectures_of(module: ModuleType) -> list[Architecture]:
    return [value for value in vars(module).values() if isinstance(value, Architecture)]
