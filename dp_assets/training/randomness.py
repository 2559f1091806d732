"""Random draws inside the network (dropout, augmentation) that depend on the seed and the epoch only."""

import keras
import numpy as np

SEED_STATE = "seed_generator_state"


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Set every random generator in `model` to a state that depends on `seed`, `epoch` and its place only.

    Without this the draws of an epoch depend on how many were made before, and a resumed run would not repeat
    an undisturbed one.

    Parameters
    ----------
    model : any Keras model; nested layers are found too.
    seed : `train.model.seed`.
    epoch : number of the epoch about to start.
    """
    states = [variable for variable in model.variables if variable.name == SEED_STATE]
    for place, state in enumerate(states):
        (number,) = np.random.SeedSequence([seed % 2**63, epoch, place]).generate_state(1)
        # A state is (seed, number of draws); 31 bits fit every backend's integer type.
        state.assign(np.array([int(number) >> 1, 0]).astype(keras.backend.standardize_dtype(state.dtype)))
