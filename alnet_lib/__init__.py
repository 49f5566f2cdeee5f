"""ALNet, reproducibly: the lineage of acute leukaemia from peripheral-blood cell images. Research use only."""

__version__ = "0.1.0"
