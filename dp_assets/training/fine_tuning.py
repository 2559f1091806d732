"""Training that starts from a checkpoint: which layers took its weights, and which did not."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras

from dp_assets.config.errors import StoreError
from dp_assets.networks.checkpoints import load_matching_weights
from dp_assets.storage.atomic import write_bytes

START_FILE = "start_from.json"


@dataclass(frozen=True)
class InitialWeights:
    """Where the weights came from that a training started with.

    Attributes
    ----------
    file : name of the checkpoint.
    loaded : number of layers that took its weights.
    skipped : layers that have another shape there (a stem for other channels, a head for other classes) and
        started at random.
    missing : layers that it does not have, which started at random.
    """

    file: str
    loaded: int
    skipped: tuple[str, ...]
    missing: tuple[str, ...]


def start_from_checkpoint(network: keras.Model, checkpoint: Path, folder: Path) -> InitialWeights:
    """Load the layers that match by name and shape, and write down in the model folder which those were.

    Raises
    ------
    ModelError : the file cannot be read, or no layer of it matches.
    """
    report = load_matching_weights(network, checkpoint)
    initial = InitialWeights(checkpoint.name, len(report.loaded), report.skipped, report.missing)
    write_bytes(folder / START_FILE, json.dumps(asdict(initial), indent=1).encode())
    return initial


def read_initial_weights(folder: Path) -> InitialWeights | None:
    """What `start_from_checkpoint` wrote; None for a training that started otherwise.

    Raises
    ------
    StoreError : the file is damaged.
    """
    path = folder / START_FILE
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_bytes())
        return InitialWeights(
            facts["file"], facts["loaded"], tuple(facts["skipped"]), tuple(facts["missing"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the record of the initial weights cannot be read: {error}",
            where=str(path),
            remedy="delete the file; the model itself does not depend on it",
        ) from error
