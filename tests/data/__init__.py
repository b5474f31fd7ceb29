"""Tests of edgeskel.data."""
