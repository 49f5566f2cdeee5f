"""Classification rates, ROC, calibration, decision curves, and their intervals over patients: frames in, numbers out.

Imports `core`.
"""
