"""Tests of edgeskel.continual.device."""
