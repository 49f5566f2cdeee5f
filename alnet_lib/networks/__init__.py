"""Backbones as five blocks and a head, pretrained weights, initialisation, activations, storage. Imports `core`."""
