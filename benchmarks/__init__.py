"""Measurements behind docs/benchmarks.md: run one with python -m benchmarks.NAME."""
