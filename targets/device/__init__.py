"""What runs on a device beside the service: takes in releases, proves them, switches, watches, goes back.

Standard library only, packed into one file (``edgeskel-device``) that the device runs with its own Python 3.10 or newer.
docs/flash.md draws the states.
"""
