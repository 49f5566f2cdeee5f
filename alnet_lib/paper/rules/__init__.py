"""The rules of the audit of the printed numbers: counts, rates, training, claims."""
