"""Decoding, pixel arrays, augmentation, segmentation and handcrafted features: paths and arrays in, arrays out.

Knows no cohort. Imports `core`.
"""
