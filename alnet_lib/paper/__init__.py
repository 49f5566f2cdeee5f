"""What the paper printed, as data, and the arithmetic that must hold between the numbers.

Boldú, Merino, Acevedo, Molina, Rodellar: A deep learning model (ALNet) for the diagnosis of acute leukaemia lineage
using peripheral blood cell images. Comput. Methods Programs Biomed. (2021). Imports `core`.
"""

from __future__ import annotations

from alnet_lib.paper.audit import audit, findings, recomputed, summary
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.printed import decimals, open_points, published, record, table
from alnet_lib.paper.scorecard import compare, coverage, main_numbers, readable, scorecard
from alnet_lib.paper.systems import literature, table_10

__all__ = [
    "ITEMS",
    "audit",
    "compare",
    "coverage",
    "decimals",
    "findings",
    "literature",
    "main_numbers",
    "open_points",
    "published",
    "readable",
    "recomputed",
    "record",
    "scorecard",
    "summary",
    "table",
    "table_10",
]
