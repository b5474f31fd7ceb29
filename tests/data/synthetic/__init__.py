"""Tests of edgeskel.data.synthetic."""
