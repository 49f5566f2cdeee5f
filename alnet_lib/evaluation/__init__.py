"""Numbers of the tables and figures from predictions: cells, smears, patients, other sites, clinical utility.

Producers take frames and settings and return a `Result` (numbers, values for the record, facts for captions) or an
`Unavailable` with its reason. Imports every layer below; knows nothing of notebooks, runs or reports.
"""
