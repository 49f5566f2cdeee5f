"""The command line as a user calls it, for the tests of the whole chain."""

import subprocess
import sys

from click.testing import Result
from typer.testing import CliRunner

from alnet_lib.cli import app


def alnet(*arguments, **options) -> subprocess.CompletedProcess:
    """Run `alnet` with one core: the test processes side by side have one each, and more threads would only wait."""
    cores = ["--cores", "1"] if arguments[0] == "reproduce" else []
    command = [sys.executable, "-m", "alnet_lib.cli", *map(str, arguments), *cores]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)


def alnet_here(*arguments) -> Result:
    """The same in this process, which has imported torch already."""
    return CliRunner().invoke(app, [str(part) for part in arguments])
