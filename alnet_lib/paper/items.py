"""The paper's tables and figures, and which notebook regenerates each (design contract 3)."""

from __future__ import annotations

from typing import NamedTuple

NOTEBOOKS: tuple[str, ...] = (
    "01_data_audit",
    "02_backbone_comparison",
    "03_alnet_training",
    "04_smear_roc",
    "05_external_validation",
    "06_feature_maps",
    "07_scorecard",
)
"""The notebooks in order."""


class PaperItem(NamedTuple):
    """One table or figure of the paper: title in our words, kind, and the notebook that regenerates it."""

    title: str
    kind: str
    notebook: str


def _items() -> dict[str, PaperItem]:
    audit, comparison, training, smears, external, maps, scorecard = NOTEBOOKS
    return {
        "table_01": PaperItem("Diagnoses and WHO subtypes of the patients", "table", audit),
        "table_02": PaperItem("Images, smears and persons by cell type", "table", audit),
        "table_03": PaperItem("Accuracy of four networks by blocks fine-tuned", "table", comparison),
        "table_04": PaperItem("Confusion matrix of the best single network, six classes", "table", comparison),
        "table_05": PaperItem("VGG16 against VGG19 for module 2", "table", training),
        "table_06": PaperItem("Images and smears that train and test the two modules", "table", audit),
        "table_07a": PaperItem("Confusion matrix of module 1, cells", "table", training),
        "table_07b": PaperItem("Confusion matrix of module 2, cells", "table", training),
        "table_08": PaperItem("Sensitivity, specificity and precision of both modules, cells", "table", training),
        "table_09a": PaperItem("Confusion matrix of module 1, smears", "table", smears),
        "table_09b": PaperItem("Confusion matrix of module 2, smears", "table", smears),
        "table_10": PaperItem("ALNet among other published systems", "table", scorecard),
        "table_11": PaperItem("True positive rates beside the earlier linear discriminant", "table", scorecard),
        "table_12": PaperItem("Classical classifiers beside deep networks", "table", comparison),
        "figure_01": PaperItem("Scheme of the diagnostic support system", "figure", training),
        "figure_02": PaperItem("A B-lymphoblast and its augmented versions", "figure", training),
        "figure_03": PaperItem("The two modules in series", "figure", training),
        "figure_04": PaperItem("Multiclass ROC over the training smears", "figure", smears),
        "figure_05": PaperItem("Blasts of the three hospitals", "figure", external),
        "figure_06": PaperItem("Cell types of earlier studies and of this one", "figure", maps),
        "figure_07": PaperItem("Feature maps of the original network and of ALNet", "figure", maps),
    }


ITEMS: dict[str, PaperItem] = _items()
"""Id -> item, in the paper's order."""
