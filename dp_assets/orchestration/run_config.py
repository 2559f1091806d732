"""Run configurations: a file, and what the command line says besides."""

from pathlib import Path
from typing import Any

from dp_assets.config.inheritance import merged
from dp_assets.config.reading import read_document


def read_run_config(path: Path | None, *, devices: str | None, cores: int | None) -> dict[str, Any]:
    """The run configuration for Dagster.

    Parameters
    ----------
    path : a YAML or JSON file; None for none.
    devices : the accelerator's devices; goes before the file.
    cores : threads of a stage; goes before the file.

    Raises
    ------
    ConfigurationError : the file cannot be read.
    """
    config: dict[str, Any] = read_document(path, may_be_empty=True).data if path is not None else {}
    if devices is not None:
        config = merged(config, {"resources": {"accelerator": {"config": {"devices": devices}}}})
    if cores is not None:
        config = merged(config, {"resources": {"project": {"config": {"cores": cores}}}})
    return config
