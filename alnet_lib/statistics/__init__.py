"""Classification rates, ROC, calibration and one resampler of patients: arrays and frames in, numbers out.

Imports `core`.
"""
