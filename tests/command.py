"""The command line as a user calls it, for the tests of the whole chain."""

import subprocess
import sys


def alnet(*arguments, **options) -> subprocess.CompletedProcess:
    """Run `alnet` with one core: the test processes side by side have one each, and more threads would only wait."""
    cores = ["--cores", "1"] if arguments[0] == "reproduce" else []
    command = [sys.executable, "-m", "alnet_lib.cli", *map(str, arguments), *cores]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)
