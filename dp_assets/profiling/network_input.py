"""From crops to the input of a network that was trained on images of another size or in colour."""

import keras
import numpy as np
from keras import ops


def resized_crops(crop_size: int, input_size: int, channels: int) -> keras.Model:
    """A model that resizes crops bilinearly, pixel centres upon pixel centres.

    Takes and returns float32 (cells, rows, cols, channels), of `crop_size` and of `input_size` rows and cols.
    """
    crops = keras.Input((crop_size, crop_size, channels), dtype="float32", name="crops")
    resized = ops.image.resize(crops, (input_size, input_size), interpolation="bilinear", antialias=False)
    return keras.Model(crops, resized, name="resized_crops")


def grey_images(crop_size: int, input_size: int) -> keras.Model:
    """A model that makes of one channel of a crop a grey RGB image of -1 to 1, as ImageNet networks take it.

    Takes float32 (cells, crop_size, crop_size, 1) and returns float32 (cells, input_size, input_size, 3).
    The channel is resized bilinearly and stretched by its own minimum and maximum; a flat one becomes zeros.
    Sample i lies at i * crop_size / input_size, so images are shifted by up to half a pixel, as DeepProfiler
    does it (`repeat_channel_crop_generator`; section 6 of its behaviour).
    """
    planes = keras.Input((crop_size, crop_size, 1), dtype="float32", name="planes")
    resized = _sampled(_sampled(planes, 1, crop_size, input_size), 2, crop_size, input_size)
    low = ops.min(resized, axis=(1, 2), keepdims=True)
    span = ops.max(resized, axis=(1, 2), keepdims=True) - low
    flat = ops.equal(span, 0)
    stretched = (resized - low) / ops.where(flat, 1.0, span) * 2.0 - 1.0
    grey = ops.where(flat, 0.0, stretched)
    return keras.Model(planes, ops.concatenate([grey, grey, grey], axis=-1), name="grey_images")


def _sampled(planes: keras.KerasTensor, axis: int, size: int, new_size: int) -> keras.KerasTensor:
    """`planes` at `new_size` samples along an axis, the first at the first pixel; linear, ends repeated."""
    position = np.arange(new_size, dtype=np.float32) * (np.float32(size) / np.float32(new_size))
    before = np.floor(position)
    weight = (position - before).reshape([-1 if number == axis else 1 for number in range(4)])
    lower = before.astype(np.int32)
    below = ops.take(planes, lower, axis=axis)
    above = ops.take(planes, np.minimum(lower + 1, size - 1), axis=axis)
    return below + (above - below) * weight
