"""Sensors to skeleton frames."""
