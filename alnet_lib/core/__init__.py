"""Atomic files, hashes, the profile, progress, outcomes and the vocabulary. Imports nothing else of the kit."""
