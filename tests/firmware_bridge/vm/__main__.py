"""``python -m tests.firmware_bridge.vm``; see the package."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tests.firmware_bridge.vm.guest import ACCELERATORS, MissingTool, build

ROOT = Path(__file__).resolve().parents[3]
TESTS = "tests/firmware_bridge/test_ble_bluez.py"


def main() -> int:
    """Build the guest, run the tests in it; 0 if all passed, 1 if not, 2 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware_bridge.vm", description=__doc__)
    parser.add_argument("--accelerator", choices=ACCELERATORS, default="tcg",
                        help="kvm needs /dev/kvm; tcg runs everywhere, in a time of its own that no host makes slower")
    parser.add_argument("--slower", type=float, default=1.0, help="by how much limits of time are longer in the guest")
    parser.add_argument("--minutes", type=float, default=60.0, help="the guest is switched off after so long")
    options, arguments = parser.parse_known_args()
    if not any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):  # options alone choose among ours
        arguments.append(TESTS)
    begin = time.monotonic()
    try:
        guest = build(ROOT / "build" / "vm")
    except MissingTool as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"no kernel: {error}", file=sys.stderr)
        return 2
    status = guest.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "--color=no", "--durations=5",
         "-o", "faulthandler_timeout=120", *arguments],
        at=ROOT,
        environment={"HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                     "EDGESKEL_BLUEZ": "kernel", "EDGESKEL_SLOWER": f"{options.slower:g}"},
        accelerator=options.accelerator, limit_s=60 * options.minutes)
    print(f"Linux {guest.kernel}, {options.accelerator}: "
          f"{'the guest did not come to an end' if status is None else f'pytest ended with {status}'}, "
          f"{time.monotonic() - begin:.0f} s")
    return min(status, 1) if status is not None else 1


if __name__ == "__main__":
    sys.exit(main())
