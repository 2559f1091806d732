"""Telling "the device's memory is full" from other errors of the backends."""

MARKS = (
    "resource_exhausted",
    "resourceexhausted",
    "oom when allocating",
    "out of memory",
    "out_of_memory",
    "alloc_failed",
    "failed to allocate",
    "no algorithm worked",
)
"""What TensorFlow, JAX, CUDA and cuDNN say, in lower case. The host's own `MemoryError` is another matter."""


def out_of_memory(error: Exception) -> bool:
    """Whether a backend failed for want of memory; TensorFlow and JAX have no error in common for that."""
    text = f"{type(error).__name__}: {error}".lower()
    return not isinstance(error, MemoryError) and any(mark in text for mark in MARKS)
