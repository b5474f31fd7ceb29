"""Bluetooth Low Energy: ``ble:NAME?protocol=dot`` or ``ble:AA:BB:CC:DD:EE:FF?protocol=node&notify=acquire``.

    transport.py  one device: find, connect, subscribe
    radio.py      what all devices share: one scanner, one connection at a time, the watch over the daemon
    daemon.py     whether bluetoothd is there, from the D-Bus that it lives on
    held.py       links that it holds, which a program that was killed has left
    errors.py     what bleak says, in words that tell what to do

What we learnt the hard way, with bleak 3.1 (measured on BlueZ): two scans, or a scan while connecting, end in
``org.bluez.Error.InProgress``; a bluetoothd that was killed goes unnoticed (``is_connected`` stays true and
``disconnect`` hangs); a program that was killed leaves its link, and a device that is connected does not advertise; the MTU
that BlueZ shows is not to be believed. So there is one scanner that rests while somebody connects, links without a listener
are ended, everything that may hang is bounded, and packets are checked by length where they are decoded.
"""

from firmware_bridge.transports.ble.radio import Radio
from firmware_bridge.transports.ble.transport import BleTransport, open_transport

__all__ = ["BleTransport", "Radio", "open_transport"]
