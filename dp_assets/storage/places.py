"""Places that a project names, as paths: folders of this machine, or URLs of object stores."""

from upath import UPath

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.places import place_problem

S3 = ("s3://", "s3a://")


def place_at(url: str) -> UPath:
    """The path of a URL (`s3://`, `gs://`, `memory://`, ...), ready to be read and written.

    Raises
    ------
    ConfigurationError : the URL holds credentials, or the library for it is not installed.
    """
    problem = place_problem(url, url.rpartition("@")[2])
    if problem is not None:
        raise ConfigurationError([problem])
    if url.startswith(S3):
        from dp_assets.storage.s3 import use_for_s3

        use_for_s3()
    return UPath(url)
