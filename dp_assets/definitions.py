"""The front door for Dagster: `build_defs(project)` for any project, `defs` for that of the environment."""

from dp_assets.orchestration.code_location import build_defs, project_folder

__all__ = ["build_defs", "defs", "project_folder"]

defs = build_defs(project_folder())
