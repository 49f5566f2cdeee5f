"""Batches, fitting, prediction, checkpoints, cached feature maps, the learning-rate range test.

Imports `core`, `imaging` and `networks`.
"""
