"""The synthetic cohort: composition of the paper, morphology as numbers, drawing. Not patients."""
