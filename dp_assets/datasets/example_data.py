"""DeepProfiler's own example project: a few images of BBBC021 with locations and configuration."""

from pathlib import Path

from dp_assets.config.errors import ProjectError
from dp_assets.datasets.archives import unpack_tar
from dp_assets.datasets.fetching import PublicFile

SERVER = "https://imaging-platform.s3.amazonaws.com/projects/deepprofiler-examples/"
ARCHIVE = "example-data.tar.gz"


def example_files(server: str = SERVER) -> list[PublicFile]:
    """The archive of the example. No checksum of it is published."""
    return [PublicFile(ARCHIVE, server + ARCHIVE)]


def make_example(archive: Path, root: Path) -> Path:
    """Unpack the example into a folder; returns the project in it (the folder that holds `inputs`).

    Raises
    ------
    ProjectError : the archive is damaged, or holds no project.
    """
    files = unpack_tar(archive, root)
    projects = {path.parent for file in files for path in file.parents if path.name == "inputs"}
    inside = sorted(path for path in projects if root in (path, *path.parents))
    if not inside:
        raise ProjectError(
            "the archive holds no folder named inputs",
            where=str(archive),
            remedy="arrange its files as `dp-assets setup` does, by hand",
        )
    return inside[0]
