"""The program of a release: numpy and one engine. Builds the engine, proves it, and recognises as a service."""
