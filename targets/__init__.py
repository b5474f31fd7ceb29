"""Artifacts to running devices."""
