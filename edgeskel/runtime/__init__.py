"""Engines and the session that recognises live."""
