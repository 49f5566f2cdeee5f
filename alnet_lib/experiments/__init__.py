"""The trainings behind the tables: modules, backbone comparison, baselines, cross-fitting, ablations, attention vote.

Imports every layer below.
"""
