"""Opening a trained network from its model folder."""

from pathlib import Path

import keras

import dp_assets.networks.registry  # noqa: F401  # registers the layers that saved networks are made of
from dp_assets.config.errors import ModelError
from dp_assets.networks.model_archive import foreign_code
from dp_assets.storage.model_folder import NETWORK_FILE
from dp_assets.training.checkpoint_files import CHECKPOINTS

LONGEST_REASON = 400
WEIGHT_ENDINGS = (".weights.h5", ".hdf5", ".h5", ".keras")


def load_trained_network(folder: Path, checkpoint: str | None = None) -> keras.Model:
    """The network of a model folder, from crops to class probabilities, not compiled.

    Parameters
    ----------
    folder : the model folder, with `model.keras` and `checkpoints/`.
    checkpoint : None for the weights of the last epoch; else a checkpoint's name. Its ending does not matter,
        so that `checkpoint_0005.hdf5` in an older configuration finds `checkpoint_0005.weights.h5`.

    Raises
    ------
    ModelError : there is no model, no such checkpoint (the message names those there are), a file is
        damaged, or the network is made of code that only the file brings or names.
    """
    path = folder / NETWORK_FILE
    if not path.exists():
        raise ModelError(
            "there is no trained network",
            where=str(path),
            remedy="train it first, or choose another model folder",
        )
    weights = find_checkpoint(folder, checkpoint) if checkpoint is not None else None
    try:
        # The mode is Keras' own default, unless something has turned it off in this process.
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        if foreign := foreign_code(path):
            raise _refused(path, foreign) from error
        raise _unreadable(path, error) from error
    if weights is not None:
        try:
            network.load_weights(weights)
        except Exception as error:
            raise _unreadable(weights, error) from error
    return network


def find_checkpoint(folder: Path, checkpoint: str) -> Path:
    """The file of a named checkpoint; ModelError, which names those there are, when it is missing."""
    present = {_stem(path.name): path for path in sorted((folder / CHECKPOINTS).glob("[!.]*"))}
    try:
        return present[_stem(checkpoint)]
    except KeyError:
        raise ModelError(
            f"there is no checkpoint {checkpoint!r}",
            where=str(folder / CHECKPOINTS),
            remedy=f"use one of: {', '.join(present)}" if present else "train the network first",
        ) from None


def _stem(name: str) -> str:
    for ending in WEIGHT_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _refused(path: Path, foreign: str) -> ModelError:
    return ModelError(
        f"the network holds {foreign}, which is not run: a model file may come from anybody",
        where=str(path),
        remedy="define it in a plugin of the project, registered with "
        "@keras.saving.register_keras_serializable, and train again; or import the weights alone",
    )


def _unreadable(path: Path, error: Exception) -> ModelError:
    # Keras begins with what it could not do, and says why further down.
    reason = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
    return ModelError(
        f"the file cannot be read: {reason}",
        where=str(path),
        remedy="delete the model folder and train again",
    )
