"""Servers that end with the process that started them, also when that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

# The server takes the place of the shell; what is left beside it waits for standard input to end,
# which is when nobody holds its other end any more, and then ends the whole group.
GUARD = 'exec 3<&0; (read -r _ <&3; kill -9 0) & exec "$@" 3<&- </dev/null'


def start_guarded(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a server in a group of its own; options are those of `Popen`."""
    return subprocess.Popen(
        ["sh", "-c", GUARD, "sh", *command],
        stdin=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def kill_guarded(process: subprocess.Popen[bytes]) -> None:
    """End a server and everything that it started, without a word."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
