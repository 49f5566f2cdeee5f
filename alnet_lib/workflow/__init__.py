"""A run and its directory: recorder, provenance, staleness, jobs, `alnet reproduce`, `alnet doctor`.

The only layer that knows a run directory, with `report` above it.
"""
