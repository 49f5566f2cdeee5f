"""`python -m alnet_lib.report RUN`: results.json and the report of a run from what is there."""

import sys
from pathlib import Path

from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.report.rendering import render

if __name__ == "__main__":
    render(Path(sys.argv[1]).resolve(), sources=NOTEBOOKS_DIR)
