"""Recognisers and their registry."""
