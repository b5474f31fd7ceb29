"""Model to artifact: the deployable graph, its formats, verification and the bundle."""
