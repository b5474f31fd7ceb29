"""Tests of edgeskel.continual."""
