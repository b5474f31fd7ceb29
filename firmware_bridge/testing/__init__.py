"""Devices without hardware, public so that applications can be tested where no wearable is at hand.

Each is one module, imported when used; ``docs/devices/`` says what they simulate and what they leave out.
"""
