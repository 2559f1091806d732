"""URLs of stores, images and locations: which can be used, said before anything is read or written."""

import importlib.util
from urllib.parse import urlsplit

from dp_assets.config.credentials import holds_credentials, masked
from dp_assets.config.errors import Problem

# protocol -> the library that speaks it, and what to install
LIBRARIES = {
    "s3": ("s3fs", "pip install 'dp-assets[s3]'"),
    "s3a": ("s3fs", "pip install 'dp-assets[s3]'"),
    "gs": ("gcsfs", "pip install gcsfs"),
    "gcs": ("gcsfs", "pip install gcsfs"),
}
ENVIRONMENT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment instead"


def place_problem(place: str, where: str) -> Problem | None:
    """What is wrong with a folder or URL, None when nothing is; `where` names the file and key."""
    if "://" not in place:
        return None
    protocol, _, rest = place.partition("://")
    if holds_credentials(place):
        return Problem(
            f'the URL "{masked(place)}" holds credentials, which would end in logs and records',
            where,
            f"write {protocol}://{rest.rpartition('@')[2]} and {ENVIRONMENT}",
        )
    if protocol in LIBRARIES:
        library, command = LIBRARIES[protocol]
        if importlib.util.find_spec(library) is None:
            return Problem(f"{protocol}:// needs {library}, which is not installed", where, command)
        if not urlsplit(place).netloc:
            return Problem(f'"{place}" names no bucket', where, f"write {protocol}://BUCKET/FOLDER")
    return None
