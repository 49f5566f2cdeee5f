"""Miniatures of every public source in its exact layout (noise or discs for cells), and inputs of several tests."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES

RNG = np.random.default_rng(11)


def write_picture(path, size=(24, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    if mode == "RGBA":
        noise[..., 3] = 255
    Image.fromarray(noise, mode=mode).save(path)


def write_cell(path, size, diameter, background=(236, 228, 222)):
    """A cell with a nucleus in the middle of a picture: (width, height) and the cell's diameter in pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((size[1], size[0], 3), background, np.uint8)
    middle = (size[0] // 2, size[1] // 2)
    cv2.circle(picture, middle, round(diameter / 2), (168, 178, 214), -1)
    cv2.circle(picture, middle, round(diameter / 2.4), (96, 58, 142), -1)
    lit = picture.astype(int) + RNG.integers(-6, 7, picture.shape)
    Image.fromarray(np.where(picture > 0, lit, 0).clip(0, 255).astype(np.uint8)).save(path)


def class_folders(root, files, mode="RGB", size=(24, 24)):
    for folder, names in files.items():
        for name in names:
            write_picture(root / folder / name, size, mode)


def as_macos_packs(folder):
    """What macOS adds to an archive: files that have a picture's name and are none."""
    for path in list(folder.iterdir()):
        (folder / f"._{path.name}").write_bytes(b"Mac OS X")
    (folder.parent / "__MACOSX" / folder.name).mkdir(parents=True)


def pbc(root):
    base = root / "PBC_dataset_normal_DIB"
    files = {"lymphocyte": ["LY_1.jpg", "LY_2.jpg"], "monocyte": ["MO_1.jpg", "MO_2.jpg"]}
    files |= {"ig": ["PMY_1.jpg", "MY_1.jpg"], "platelet": ["PLATELET_1.jpg"], "neutrophil": ["BNE_1.jpg"]}
    class_folders(base, files, size=(360, 363))
    write_picture(base / "monocyte" / "MO_3.jpg", (366, 369))
    (base / "lymphocyte" / ".DS_Store").write_bytes(b"x")
    return {"lymphocyte": 2, "monocyte": 3}


def lmu(root):
    base = root / "AML-Cytomorphology_LMU" / "AML-Cytomorphology"
    names = {"LYT": 3, "MON": 2, "LYA": 1, "PMB": 1, "MYO": 4, "MOB": 1, "NGS": 2, "PMO": 1}
    files = {name: [f"{name}_{i:04d}.tiff" for i in range(1, n + 1)] for name, n in names.items()}
    class_folders(base, files, "RGBA", (400, 400))
    lines = [f"{name}/{file} {name} nan nan" for name in files for file in files[name]]
    lines[0] = lines[0].replace("nan nan", "LYT LYA")
    (root / "annotations.dat").write_text("\n".join(lines))
    return {name: n for name, n in names.items() if name in SOURCES["aml_lmu"].mapping}


def mll_patients(root):
    folders = {"control": ["AAA", "BBB"], "PML_RARA": ["CCC"], "NPM1": ["DDD"], "CBFB_MYH11": ["EEE"]}
    for subtype, patients in (folders | {"RUNX1_RUNX1T1": ["FFF"]}).items():
        for patient in patients:
            for i in range(2):
                write_picture(root / "data" / subtype / patient / f"image_{i}.tif", (144, 144))
    about = {"patient_id": ["AAA", "CCC"], "bag_label": ["control", "PML_RARA"], "leucocytes_per_ul": [5000, 900]}
    pd.DataFrame(about).to_csv(root / "metadata.csv", index=False)
    return {"patients": 6, "images": 12}


def mll_cells(root):
    names = {"lymphocyte": 2, "monocyte": 2, "lymphocyte_reactive": 1, "promyelocyte_atypical": 2, "myeloblast": 3}
    files = {name: [f"{name}_{i:04d}.TIF" for i in range(n)] for name, n in (names | {"basophil": 2}).items()}
    class_folders(root, {name: files[name] for name in files if name != "monocyte"}, size=(288, 288))
    class_folders(root / "monocyte", {"monocyte": files["monocyte"]}, size=(288, 288))
    as_macos_packs(root / "monocyte" / "monocyte")
    as_macos_packs(root / "myeloblast")
    return names


def bodzas(root):
    names = {"Lymphoblast": 2, "Myeloblast": 1, "Lymphocyte": 2, "Monocyte": 1}
    files = {name: [f"{i}.bmp" for i in range(n)] for name, n in (names | {"Neutrophile Segment": 1}).items()}
    class_folders(root / "Labelled", files, size=(1200, 1200))
    return names


def cnmc(root, preliminary=True):
    """Three folds; the preliminary set by number and table; the final set by number alone; an odd file."""
    training = root / "PKG - C-NMC 2019" / "C-NMC_training_data"
    for fold in range(3):
        for cell in (1, 2):
            name = f"UID_1{fold}_1_{cell}_all.bmp"
            write_cell(training / f"fold_{fold}" / "all" / name, (450, 450), 204, background=(0, 0, 0))
        write_picture(training / f"fold_{fold}" / "hem" / f"UID_H1{fold}_1_1_hem.bmp", (450, 450))
    write_picture(training / "fold_2" / "hem" / "UID_h3_3_3_hem.bmp", (450, 450))
    for name in ("UID_b7_1_1_all.bmp", "UID_B7_1_2_all.bmp"):
        write_cell(training / "fold_0" / "all" / name, (450, 450), 204, background=(0, 0, 0))
    write_picture(training / "fold_0" / "all" / "copy of something.bmp", (450, 450))
    if preliminary:
        told = ["UID_57_29_1_all.bmp", "UID_57_29_2_all.bmp", "UID_H60_1_1_hem.bmp", "UID_10_9_9_all.bmp"]
        table = {"Patient_ID": told, "new_names": [f"{i}.bmp" for i in (1, 2, 3, 4)], "labels": [1, 1, 0, 1]}
        folder = training.parent / "C-NMC_test_prelim_phase_data"
        for name in table["new_names"]:
            write_cell(folder / folder.name / name, (450, 450), 204, background=(0, 0, 0))
            write_picture(training.parent / "C-NMC_test_final_phase_data" / name, (450, 450))
        pd.DataFrame(table).to_csv(training.parent / "C-NMC_test_prelim_phase_data_labels.csv", index=False)
    return {"fold_0/all": 4, "fold_1/all": 2, "fold_2/all": 2, "preliminary": 4}


def idb(root):
    for i in range(1, 4):
        write_cell(root / "ALL_IDB2" / "img" / f"Im{i:03d}_1.tif", (257, 257 if i > 1 else 240), 120)
    write_picture(root / "ALL_IDB2" / "img" / "Im131_0.tif", (257, 257))
    return {"Im<NNN>_1.tif": 3}


ATTRI = {
    "train": {
        "3_12_1000_AML.png": [("Myeloblast", [100, 100, 36, 60]), ("Atypical lymphocyte", [0, 300, 36, 60])],
        "21_2_1000_CLL.png": [("Lymphocyte", [300, 300, 30, 50])],
        "4_1_1000_ALL.png": [("Lymphoblast", [200, 200, 30, 50]), ("Myeloblast", [400, 400, 30, 0])],
        "5_1_1000_AML.png": [("Lymphoblast", [200, 200, 36, 60]), ("Lymphoblast", [300, 300, 36, 0])],
    },
    "test": {"23_7_1000_APML.png": [("Abnormal promyelocyte", [500, 20, 36, 60]), ("None", [5, 5, 30, 30])]},
}
"""Split -> picture -> boxes (category, [x, y, width, height]); as wide as 0.6 of their height."""


def attri(root):
    """Fields with COCO files, in the layout and by the names of the source; the labels once more in a second folder."""
    base = root / "LeukemiaAttri_Dataset" / "H_100X_C1"
    names = ["None", "Myeloblast", "Abnormal promyelocyte", "Atypical lymphocyte", "Lymphoblast", "Lymphocyte"]
    for split, fields in ATTRI.items():
        boxes = [(i, *box) for i, own in enumerate(fields.values()) for box in own]
        content = {
            "images": [{"id": i, "file_name": name} for i, name in enumerate(fields)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
            "annotations": [
                {"id": i, "image_id": field, "category_id": names.index(category), "bbox": box}
                for i, (field, category, box) in enumerate(boxes)
            ],
        }
        for folder in ("json_labels", "WBC_detection"):
            (base / folder).mkdir(parents=True, exist_ok=True)
            (base / folder / f"{split}.json").write_text(json.dumps(content))
        for name, own in fields.items():
            field = np.full((640, 640, 3), 225, np.uint8)
            for _, (x, y, width, height) in own:
                middle, axes = (x + width // 2, y + height // 2), (width // 2, height // 2)
                cv2.ellipse(field, middle, axes, 0, 0, 360, (96, 58, 142), -1)
            (base / "Images" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(field).save(base / "Images" / split / name)


TREES = {
    "pbc_normal_dib": pbc,
    "aml_lmu": lmu,
    "aml_mll_helmholtz": mll_patients,
    "mll23": mll_cells,
    "bodzas_2023": bodzas,
    "cnmc_2019": cnmc,
    "all_idb2": idb,
    "leukemia_attri": attri,
}


def counts(name, found, monkeypatch):
    """Have a source count as `found`."""
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], counts=found))


def grow(name, tree, root, monkeypatch):
    """Make a source's miniature below `root`, and have it count as the miniature counts."""
    found = tree(root)
    if found:
        counts(name, found, monkeypatch)
    return found


def cells_of_smears(smears, split="test", module_2=True, site="x"):
    """Predicted cells of smears: name -> (diagnosis, predictions such as `BL/M`, `BL/B`, `PM`), a patient each."""
    first = {"LY": "lymphocyte", "MO": "monocyte", "PM": "abnormal_promyelocyte", "BL": "blast"}
    types = {"APL": "abnormal_promyelocyte", "AML": "myeloblast", "ALL": "b_lymphoblast", "control": "lymphocyte"}
    rows = []
    for smear, (diagnosis, predictions) in smears.items():
        for i, prediction in enumerate(predictions):
            one, _, second = prediction.partition("/")
            row = {"image_id": f"{smear}-{i}", "smear_id": smear, "patient_id": smear, "site": site, "split": split}
            row |= {"diagnosis": diagnosis, "cell_type": types[diagnosis], "eligible": True}
            row |= {f"p1_{c}": 0.8 if c == first[one] else 0.05 for c in MODULE_1_CLASSES}
            if module_2:
                row |= dict(zip((f"p2_{c}" for c in MODULE_2_CLASSES), (second != "B", second == "B"), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def benchmark(name):
    """The module of a file in benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
