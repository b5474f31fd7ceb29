"""Tests of edgeskel.topologies."""
