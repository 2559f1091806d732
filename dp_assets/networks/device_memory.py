"""Telling "the device's memory is full" from other errors of the backends."""

MARKS = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "out of memory")


def out_of_memory(error: Exception) -> bool:
    """Whether a backend failed for want of memory; TensorFlow and JAX have no error in common for that."""
    text = f"{type(error).__name__}: {error}"
    return isinstance(error, MemoryError) or any(mark.lower() in text.lower() for mark in MARKS)
