"""Recordings: importers, the store, named splits, synthetic motion."""
