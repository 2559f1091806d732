"""Feeding cells to a network and training it: samplers, crop feed, schedules, trainer, checkpoints."""
