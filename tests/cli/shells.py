"""Interactive shells on a pseudo-terminal: what a user types, TAB included, and what the shell makes of it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from pathlib import Path

LIMIT_S = 120.0  # for a machine that does much else

# How to start each without the user's configuration, and what it is told first.
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {script}; edgeskel() {{ printf 'GOT<%s>\\n' \"$*\"; }}\n"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source {script}; "
                                 "edgeskel() {{ printf 'GOT<%s>\\n' \"$*\"; }}\n"),
    "fish": (["fish", "--no-config", "-i"], "source {script}; function edgeskel; printf 'GOT<%s>\\n' \"$argv\"; end\n"),
}


class Shell:
    """A running shell; a context manager."""

    def __init__(self, name: str, script: Path, folder: Path) -> None:
        words, first = START[name]
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.environ.update(TERM="xterm", PS1="", HOME=str(folder))
            os.execvp(words[0], words)
        self.seen = ""
        self.type(first.format(script=script))

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until the pattern was printed after what was matched before."""
        end = time.monotonic() + LIMIT_S
        while (found := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < end, f"waited for {pattern!r}: {self.seen[-400:]!r}"
            if select.select([self._terminal], [], [], 1.0)[0]:
                answer = os.read(self._terminal, 65536)
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", answer.decode(errors="replace"))
                if b"\x1b[c" in answer:  # fish asks what terminal this is, and waits
                    self.type("\x1b[?62c")
        self.seen = self.seen[found.end():]
        return found
