"""`python -m alnet_lib.cli`."""

from alnet_lib.cli import app

app()
