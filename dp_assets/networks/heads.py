"""Softmax heads: one dense layer per target column, on top of the features."""

from collections.abc import Sequence
from typing import TypeAlias

import keras
from keras import layers

from dp_assets.networks.architecture import HEAD_NAME, NetworkRequest, layer_seed, legal_layer_name

WEIGHT_DECAY = 1e-5
FIRST_SEED = "head"
Outputs: TypeAlias = keras.KerasTensor | list[keras.KerasTensor]


def class_prob_heads(request: NetworkRequest, body: keras.Model) -> Outputs:
    """Make the outputs `ClassProb`, `ClassProb_<column>`, ... with an L2 penalty of 1e-5 on their kernels.

    Parameters
    ----------
    body : from crops to float32 features (cells, features).

    Returns
    -------
    Float32 class probabilities (cells, classes); a list of them when `request.more_heads` names further
    heads; the features themselves when `request.classes` is None.
    """
    if request.classes is None:
        return body.output
    names = _distinct([HEAD_NAME, *(f"{HEAD_NAME}_{legal_layer_name(c)}" for c, _ in request.more_heads)])
    decay = keras.regularizers.L2(WEIGHT_DECAY)
    return _heads(request, body.output, names, names, decay)


def column_heads(request: NetworkRequest, body: keras.Model) -> Outputs:
    """Make outputs named after their target columns, without a penalty; otherwise as `class_prob_heads`."""
    if request.classes is None:
        return body.output
    taken = {layer.name for layer in body.layers}
    columns = [request.target, *(column for column, _ in request.more_heads)]
    names = _distinct([legal_layer_name(column, frozenset(taken)) for column in columns])
    seeds = [FIRST_SEED, *(f"{FIRST_SEED} {name}" for name in names[1:])]
    return _heads(request, body.output, names, seeds, None)


def _heads(
    request: NetworkRequest,
    features: keras.KerasTensor,
    names: Sequence[str],
    seeds: Sequence[str],
    regularizer: keras.Regularizer | None,
) -> Outputs:
    classes = [request.classes, *(number for _, number in request.more_heads)]
    heads = [
        layers.Dense(
            number,
            activation="softmax",
            kernel_initializer=keras.initializers.GlorotUniform(layer_seed(request.seed, seed)),
            kernel_regularizer=regularizer,
            dtype="float32",
            name=name,
        )(features)
        for number, name, seed in zip(classes, names, seeds, strict=True)
    ]
    return heads if request.more_heads else heads[0]


def _distinct(names: Sequence[str]) -> list[str]:
    """Columns that differ only in characters that layer names cannot have get different names."""
    distinct: list[str] = []
    for name in names:
        distinct.append(legal_layer_name(name, frozenset(distinct)))
    return distinct
