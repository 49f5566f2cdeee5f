"""The manifest of a cohort: schema, validation, splitting, combining, and the building of any cohort by its name.

Every source is an adapter (`adapters`), the synthetic cohort is drawn (`synthetic`). Imports `core` and `imaging`.
"""
