"""What the paper printed, as data, and the arithmetic that must hold between the numbers.

Boldú, Merino, Acevedo, Molina, Rodellar: A deep learning model (ALNet) for the diagnosis of acute leukaemia lineage
using peripheral blood cell images. Comput. Methods Programs Biomed. (2021). Imports `core`
and `statistics`.
"""

from __future__ import annotations

from alnet_lib.paper.audit import audit, findings, recomputed, summary
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.printed import decimals, open_points, published, record, table
from alnet_lib.paper.scorecard import above_most_frequent, by_verdict, compare, coverage, scorecard
from alnet_lib.paper.systems import literature, table_10
from alnet_lib.paper.wording import amount, findings_in_words, in_words, main_numbers, measured, part_in_words, readable

__all__ = [
    "ITEMS",
    "above_most_frequent",
    "amount",
    "audit",
    "by_verdict",
    "compare",
    "coverage",
    "decimals",
    "findings",
    "findings_in_words",
    "in_words",
    "literature",
    "main_numbers",
    "measured",
    "open_points",
    "part_in_words",
    "published",
    "readable",
    "recomputed",
    "record",
    "scorecard",
    "summary",
    "table",
    "table_10",
]
