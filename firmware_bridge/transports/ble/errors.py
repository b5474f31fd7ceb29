"""What bleak and D-Bus raise, as an error that says what was seen and what to do."""

from __future__ import annotations

import asyncio

from edgeskel.errors import DeviceError

__all__ = ["explain"]

# (a piece of what was raised, what was seen, what was expected, what to do)
_TEXTS = (
    ("No Bluetooth adapters", "this machine has no Bluetooth adapter", "an adapter that can do BLE",
     "plug one in; on Linux see whether it is blocked: rfkill list bluetooth"),
    ("central", "the Bluetooth adapter cannot be the central of a BLE connection", "an adapter with Bluetooth 4.0 or later",
     "use another adapter"),
    ("No powered", "Bluetooth is switched off", "an adapter that is on", "run: bluetoothctl power on"),
    ("org.bluez.Error.NotReady", "Bluetooth is switched off", "an adapter that is on", "run: bluetoothctl power on"),
    ("Resource Not Ready", "Bluetooth is switched off", "an adapter that is on", "run: bluetoothctl power on"),
    ("AccessDenied", "no permission to use Bluetooth", "a user that the D-Bus policy of BlueZ lets in",
     "run: sudo usermod -aG bluetooth $USER, and log in again"),
    ("NotAuthorized", "the device wants to be paired first", "a bond", "add pair=1 to the address, or run: bluetoothctl pair"),
    ("Insufficient", "the device wants to be paired first", "a bond", "add pair=1 to the address, or run: bluetoothctl pair"),
    ("AuthenticationFailed", "pairing failed", "a device in pairing mode", "put it into pairing mode and try again"),
    ("ServiceUnknown", "the Bluetooth daemon does not run", "bluetoothd on the system bus",
     "run: sudo systemctl start bluetooth"),
    ("NameHasNoOwner", "the Bluetooth daemon does not run", "bluetoothd on the system bus",
     "run: sudo systemctl start bluetooth"),
    ("org.freedesktop.DBus.Error.NoReply", "the Bluetooth daemon does not answer", "bluetoothd on the system bus",
     "run: sudo systemctl restart bluetooth"),
    ("InProgress", "the adapter is busy with another scan or connection", "one program that scans at a time",
     "end other Bluetooth programs; it is tried again"),
)


def explain(error: BaseException, what: str) -> DeviceError:
    """``error``, which came up while ``what`` ("connecting to left-wrist"), as a :class:`DeviceError`."""
    if isinstance(error, DeviceError):
        return error
    text = f"{type(error).__name__} {error}"
    for piece, seen, expected, remedy in _TEXTS:
        if piece in text:
            return DeviceError(f"{what}: {seen}", expected=expected, remedy=remedy)
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        return DeviceError(f"{what}: no answer in time", expected="a device that is on, near, and not connected elsewhere",
                           remedy="end its connection to a phone or another computer")
    if isinstance(error, FileNotFoundError | ConnectionError):
        return DeviceError(f"{what}: there is no D-Bus system bus ({error})", expected="a bus with bluetoothd on it",
                           remedy="run: sudo systemctl start dbus bluetooth; in a container, mount /run/dbus")
    if "NotFound" in text or "not found" in text or "UnknownObject" in text:
        return DeviceError(f"{what}: the system has forgotten the device", remedy="it is looked for again")
    return DeviceError(f"{what}: {error or type(error).__name__}")
