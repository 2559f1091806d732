"""Feeding cells to a network and training it: samplers, the crop feed, schedules, the trainer, checkpoints."""
