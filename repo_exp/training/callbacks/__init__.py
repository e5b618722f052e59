"""Callbacks of the training steps: checkpoints, progress, and the guard against values that are not finite."""
