"""The tests of BLE links on a real Linux kernel and a real bluetoothd, in a virtual machine. Run before a release:

    apt-get install --no-install-recommends qemu-system-x86 busybox-static bluez dbus-daemon kmod
    python -m tests.firmware_bridge.vm

The kernel is Debian's (downloaded once into ``build/vm``, not installed), bluetoothd and Python are this machine's: its root
is the guest's, read-only, with what the guest writes in memory. The radio is the kernel's ``hci_vhci`` with bumble's
controllers behind it. ``test_ble_bluez.py`` is what runs, the same file as on the fake; faults that only a fake can have are
skipped there and say so.
"""
