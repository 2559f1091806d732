"""Fingerprints of settings, so that results can tell which settings they were made with."""

import hashlib
import json

from pydantic import BaseModel

DIGEST_BYTES = 8


def settings_digest(model: BaseModel) -> str:
    """A short digest of all values of a settings object that are not the defaults.

    Without the defaults, a key that a later version adds makes nothing stale that was made before it.

    Parameters
    ----------
    model : any settings section or stage view.

    Returns
    -------
    16 hexadecimal digits: equal for equal values, in whatever order and spelling the file had them, and on
    every machine and Python version.
    """
    values = model.model_dump(mode="json", exclude_defaults=True)
    return text_digest(json.dumps(values, sort_keys=True, separators=(",", ":")))


def text_digest(text: str) -> str:
    """A short digest of a text: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
