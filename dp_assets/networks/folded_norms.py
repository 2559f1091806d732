"""Batch normalisations folded into the convolutions before them: the same network, fewer passes over maps."""

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers

Tensor = Any
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def fold_batch_norms(model: keras.Model) -> keras.Model:
    """The network for inference, each batch normalisation that directly follows a convolution taken into it.

    A batch normalisation of inference is a scale and an offset per channel; both fit into the kernel and the
    bias of a linear convolution whose output nothing else uses. New weights are computed in float64. All
    other layers are those of `model` itself, not copies. Layers of half precision are left alone: rounded to
    it, a scaled kernel is another one.

    Parameters
    ----------
    model : functional network of one input; it is not changed.

    Returns
    -------
    A network with the same input and outputs up to rounding; `model` itself where nothing can be folded. Like
    every network for inference it ignores statistics of the batch.
    """
    folded = _foldable(model)
    if not folded:
        return model
    norms = {id(norm) for norm in folded.values()}
    convolutions = {id(convolution): norm for convolution, norm in folded.items()}
    made: list[tuple[layers.Layer, layers.Layer, layers.BatchNormalization]] = []

    def clone(layer: layers.Layer) -> layers.Layer:
        norm = convolutions.get(id(layer))
        if norm is None:
            return layer
        copy = type(layer).from_config({**layer.get_config(), "use_bias": True})
        made.append((copy, layer, norm))
        return copy

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if id(layer) in norms else layer(*args, **kwargs)

    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name), model.input
    )
    network = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, call_function=call)
    for copy, layer, norm in made:
        copy.set_weights(_folded_weights(layer, norm))
    return network


def _foldable(model: keras.Model) -> dict[layers.Layer, layers.BatchNormalization]:
    """Convolution -> the batch normalisation to take into it."""
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    calls = Counter(id(node.operation) for node in nodes)
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in model.outputs)
    maker = {id(tensor): node.operation for node in nodes for tensor in node.output_tensors}
    found = {}
    for node in nodes:
        norm = node.operation
        if type(norm) is not layers.BatchNormalization or calls[id(norm)] > 1:
            continue
        (maps,) = node.input_tensors
        convolution = maker[id(maps)]
        if (
            type(convolution) in CONVOLUTIONS
            and calls[id(convolution)] == 1
            and uses[id(maps)] == 1
            and convolution.activation is keras.activations.linear
            and convolution.compute_dtype == "float32"
            and convolution.data_format == "channels_last"
            and norm.axis in (-1, len(maps.shape) - 1)
        ):
            found[convolution] = norm
    return found


def _folded_weights(convolution: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias that do what the convolution and the normalisation after it do."""
    mean, variance = _float64(norm.moving_mean), _float64(norm.moving_variance)
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * _float64(norm.gamma)
    offset = _float64(norm.beta) if norm.center else 0.0
    bias = _float64(convolution.bias) if convolution.use_bias else 0.0
    kernel = _float64(convolution.kernel)
    # Kernels are (rows, cols, channels in, filters); of depthwise layers (rows, cols, channels, multiples).
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    kernel = kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale)
    return [kernel.astype(np.float32), ((bias - mean) * scale + offset).astype(np.float32)]


def _float64(weight: Tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
