"""The words of the manifest contract: cell types, diagnoses, splits, kinds.

Sources: the six cell groups and the diagnoses are those of sections 2.1-2.2 and Tables 1-2 of the paper
(Boldú et al., Comput. Methods Programs Biomed. 202, 2021, 105999).
"""

from __future__ import annotations

CELL_TYPES: tuple[str, ...] = (
    "lymphocyte",
    "monocyte",
    "reactive_lymphocyte",
    "abnormal_promyelocyte",
    "myeloblast",
    "monoblast",
    "b_lymphoblast",
)
"""Values of the manifest's `cell_type`, in the order of the paper's Table 2."""


CELL_GROUPS: tuple[str, ...] = (
    "lymphocyte",
    "monocyte",
    "reactive_lymphocyte",
    "abnormal_promyelocyte",
    "myeloid_blast",
    "b_lymphoblast",
)
"""The six classes of the first classifier (Table 4)."""


MODULE_1_CLASSES: tuple[str, ...] = (
    "lymphocyte",
    "monocyte",
    "reactive_lymphocyte",
    "abnormal_promyelocyte",
    "blast",
)
"""The five classes of ALNet's module 1 (Table 7A)."""


MODULE_2_CLASSES: tuple[str, ...] = ("myeloid_blast", "b_lymphoblast")
"""The two classes of ALNet's module 2 (Table 7B)."""


TO_GROUP: dict[str, str] = {
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "reactive_lymphocyte": "reactive_lymphocyte",
    "abnormal_promyelocyte": "abnormal_promyelocyte",
    "myeloblast": "myeloid_blast",
    "monoblast": "myeloid_blast",
    "b_lymphoblast": "b_lymphoblast",
}


TO_MODULE_1: dict[str, str] = {
    cell_type: "blast" if group in MODULE_2_CLASSES else group for cell_type, group in TO_GROUP.items()
}


TO_MODULE_2: dict[str, str] = {cell_type: group for cell_type, group in TO_GROUP.items() if group in MODULE_2_CLASSES}


USUAL_DIAGNOSIS: dict[str, str] = {
    "lymphocyte": "control",
    "monocyte": "control",
    "reactive_lymphocyte": "infection",
    "abnormal_promyelocyte": "APL",
    "myeloblast": "AML",
    "monoblast": "AML",
    "b_lymphoblast": "ALL",
}
"""The diagnosis of the paper's smears that each cell type stands for (Table 1), where a source names no patient."""


CELL_DIAMETERS: dict[str, float] = {
    "lymphocyte": 12.3,
    "monocyte": 19.2,
    "reactive_lymphocyte": 16.6,
    "abnormal_promyelocyte": 16.6,
    "myeloblast": 16.3,
    "monoblast": 18.6,
    "b_lymphoblast": 13.6,
    "neutrophil": 13.5,
    "eosinophil": 14.5,
    "basophil": 12.5,
}
"""Usual diameter on a smear, micrometres: by real CellaVision cells where there are some (docs/realism.md), else by the
literature (Bain, Blood Cells, 5th ed., 2015)."""


DIAGNOSES: tuple[str, ...] = ("control", "infection", "APL", "AML", "ALL")


UNKNOWN = "unknown"
"""Verdict where no class has enough cells."""

NON_APL = "AL non-APL"
"""Verdict of module 1 alone on a smear of blasts."""

VERDICTS: tuple[str, ...] = (*DIAGNOSES, NON_APL, UNKNOWN)
"""All verdicts."""


SPLITS: tuple[str, ...] = ("train", "test", "external")


KINDS: tuple[str, ...] = ("synthetic", "public", "private")


MANIFEST_COLUMNS: tuple[str, ...] = (
    "image_id",
    "path",
    "cell_type",
    "smear_id",
    "patient_id",
    "site",
    "diagnosis",
    "subtype",
    "split",
)


LABELS: dict[str, str] = {
    "lymphocyte": "Lymphocytes",
    "monocyte": "Monocytes",
    "reactive_lymphocyte": "Reactive lymphocytes",
    "abnormal_promyelocyte": "Abnormal promyelocytes",
    "myeloblast": "Myeloblasts",
    "monoblast": "Monoblasts",
    "myeloid_blast": "Myeloid blasts",
    "b_lymphoblast": "B-Lymphoblasts",
    "blast": "Blasts",
    "control": "Healthy controls",
    "infection": "Infections",
}
"""Names as the paper prints them, for tables and figures."""
