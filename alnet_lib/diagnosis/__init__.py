"""From cells to the diagnosis of a smear: tasks of the modules, eligible cells, the aggregation rule, a trained model.

Imports `core`, `imaging`, `networks` and `training`.
"""
