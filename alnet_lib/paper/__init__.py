"""What the paper printed, as data, and the arithmetic that must hold between the numbers.

Boldú, Merino, Acevedo, Molina, Rodellar: A deep learning model (ALNet) for the diagnosis of acute leukaemia lineage
using peripheral blood cell images. Comput. Methods Programs Biomed. (2021).
"""

from __future__ import annotations

from alnet_lib.paper.audit import audit, recomputed, summary
from alnet_lib.paper.printed import decimals, literature, open_points, published, record, table
from alnet_lib.paper.scorecard import compare, coverage, readable, scorecard

__all__ = [
    "ITEMS",
    "audit",
    "compare",
    "coverage",
    "decimals",
    "literature",
    "open_points",
    "published",
    "readable",
    "recomputed",
    "record",
    "scorecard",
    "summary",
    "table",
]

ITEMS: dict[str, tuple[str, str, str]] = {
    "table_01": ("Diagnoses and WHO subtypes of the patients", "table", "01_data_audit"),
    "table_02": ("Images, smears and persons by cell type", "table", "01_data_audit"),
    "table_03": ("Accuracy of four networks by blocks fine-tuned", "table", "02_backbone_comparison"),
    "table_04": ("Confusion matrix of the best single network, six classes", "table", "02_backbone_comparison"),
    "table_05": ("VGG16 against VGG19 for module 2", "table", "03_alnet_training"),
    "table_06": ("Images and smears that train and test the two modules", "table", "01_data_audit"),
    "table_07a": ("Confusion matrix of module 1, cells", "table", "03_alnet_training"),
    "table_07b": ("Confusion matrix of module 2, cells", "table", "03_alnet_training"),
    "table_08": ("Sensitivity, specificity and precision of both modules, cells", "table", "03_alnet_training"),
    "table_09a": ("Confusion matrix of module 1, smears", "table", "04_smear_roc"),
    "table_09b": ("Confusion matrix of module 2, smears", "table", "04_smear_roc"),
    "table_10": ("ALNet among other published systems", "table", "07_scorecard"),
    "table_11": ("True positive rates beside the earlier linear discriminant", "table", "07_scorecard"),
    "table_12": ("Classical classifiers beside deep networks", "table", "02_backbone_comparison"),
    "figure_01": ("Scheme of the diagnostic support system", "figure", "03_alnet_training"),
    "figure_02": ("A B-lymphoblast and its augmented versions", "figure", "03_alnet_training"),
    "figure_03": ("The two modules in series", "figure", "03_alnet_training"),
    "figure_04": ("Multiclass ROC over the training smears", "figure", "04_smear_roc"),
    "figure_05": ("Blasts of the three hospitals", "figure", "05_external_validation"),
    "figure_06": ("Cell types of earlier studies and of this one", "figure", "06_feature_maps"),
    "figure_07": ("Feature maps of the original network and of ALNet", "figure", "06_feature_maps"),
}
"""Id -> (title in our words, kind, notebook that regenerates it), in the paper's order (design contract 3)."""
