"""Keras only: one architecture per file, augmentation layers, the registry, checkpoints, the accelerator."""
