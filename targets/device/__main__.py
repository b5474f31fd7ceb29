"""``python3 edgeskel-device VERB``."""

import sys

from targets.device.main import main

if __name__ == "__main__":
    sys.exit(main())
