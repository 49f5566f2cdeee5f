"""Looking at a finished run in JupyterLab: smears, cells, the threshold, the map of the cells, two runs side by side.

`al.open(run)` gives an explorer (`panel`); `show(run, name)` is one smear or one cell as a figure, in notebooks of the
chain too, which pay for no widgets.
"""

from alnet_lib.report.explorer.showing import largest_smear, show

__all__ = ["largest_smear", "show"]
