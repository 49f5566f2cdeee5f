"""The trainings behind the tables: modules, backbone comparison, baselines, ablations, attention vote.

Imports every layer below.
"""
