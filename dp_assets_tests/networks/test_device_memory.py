"""Which errors say that a device's memory is full."""

import pytest

from dp_assets.networks.device_memory import out_of_memory


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


@pytest.mark.parametrize(
    "error",
    [
        ResourceExhaustedError("while running node model/conv"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes."),
        RuntimeError("OOM when allocating tensor with shape[256,48,48,96]"),
        RuntimeError("INTERNAL: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ],
)
def test_a_full_device_is_told(error: Exception) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 3 GiB"), ValueError("shapes (3,) and (4,)"), OSError(28, "No space")],
)
def test_other_errors_are_not_the_device(error: Exception) -> None:
    assert not out_of_memory(error)
