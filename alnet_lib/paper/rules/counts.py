"""Rules of counts: totals and their rows, splits and their parts, one quantity in two places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alnet_lib.core.vocabulary import CELL_TYPES, MODULE_1_CLASSES, MODULE_2_CLASSES, TO_GROUP, TO_MODULE_1
from alnet_lib.paper.printed import record, table
from alnet_lib.paper.rules.check import Check, Numbers, at_least

ENTITIES = ("healthy_controls", "infections", "acute_leukaemia")


SMEAR_CLASSES = ("Control (LY)", "Control (MO)", "Infection", "APL", "AL non-APL")


BLASTS = ("myeloblast", "monoblast", "b_lymphoblast")


def adds_up(p: Numbers, total: str, parts: Sequence[str], how: str, rule: str = "total equals its rows") -> Check:
    """A count equals the sum of its parts.

    Parameters
    ----------
    p : Numbers
        The printed numbers.
    total, parts : str, sequence of str
        Ids of the total and of its parts.
    how : str
        What must hold, in words.
    rule : str
        Kind of the rule.

    Returns
    -------
    Check
        Any of the numbers may be the one to repair.
    """
    expected = p.total(parts)
    excess = p[total] - expected
    repairs = {total: expected, **{part: p[part] + excess for part in parts}}
    return Check(rule, total, how, expected, p[total], repairs=repairs)


def totals(p: Numbers) -> Iterator[Check]:
    """Printed totals equal the sum of their rows; totals in words equal the tables' rows.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    subtypes = [name for name in table("01").index if name != "total"]
    for column in ("patients", "images_train", "images_test"):
        parts = [f"table_01.{name}.{column}" for name in subtypes]
        yield adds_up(p, f"table_01.total.{column}", parts, "sum of the rows of Table 1")
    for column in ("images_train", "images_test", "smears_train", "smears_test"):
        parts = [f"table_02.{name}.{column}" for name in CELL_TYPES]
        yield adds_up(p, f"table_02.total.{column}", parts, "sum of the rows of Table 2")
    persons = [f"table_02.{entity}.persons" for entity in ENTITIES]
    yield adds_up(p, "table_02.total.persons", persons, "sum of the persons of Table 2")
    for column in ("train", "validation", "testing", "smears_train", "smears_test", "persons"):
        parts = [f"table_06.{name}.{column}" for name in MODULE_2_CLASSES]
        yield adds_up(p, f"table_06.blast.{column}", parts, "the two lineages of module 2")
    persons = [
        f"table_06.{row}.persons" for row in ("healthy_controls", "reactive_lymphocyte", "abnormal_promyelocyte")
    ]
    yield adds_up(p, "table_02.total.persons", [*persons, "table_06.blast.persons"], "sum of the persons of Table 6")
    for what in ("images", "smears"):
        parts = [f"table_02.{name}.{what}_{split}" for name in CELL_TYPES for split in ("train", "test")]
        yield adds_up(p, f"text.{what}", parts, "sum of the rows of Table 2, training and testing")
    blasts = [f"table_02.{name}.images_{split}" for name in BLASTS for split in ("train", "test")]
    yield adds_up(p, "text.s4.blast_images", blasts, "myeloblasts, monoblasts and B-lymphoblasts of Table 2")
    tested = [f"table_09a.{true}.{predicted}" for true in SMEAR_CLASSES for predicted in SMEAR_CLASSES]
    yield adds_up(p, "text.testing_smears", tested, "smears classified in Table 9A")
    external = ["text.external.myeloid_blast", "text.external.b_lymphoblast"]
    yield adds_up(p, "text.external.images", external, "the two lineages of the other hospitals")
    wrong = ["table_09b.ALL.AML", "table_09b.ALL.UNK"]
    yield adds_up(p, "text.s3_3.ALL_wrong", wrong, "smears of ALL off the diagonal of Table 9B")


def _part(p: Numbers, id: str, parts: Sequence[str], how: str) -> Check:
    return adds_up(p, id, parts, how, "splits equal their parts")


def splits(p: Numbers) -> Iterator[Check]:
    """Training and testing, train and validation, and the rows of Tables 1, 2, 6, 9 are the same images and smears.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    for what in ("images", "smears"):
        parts = [f"text.{split}_{what}" for split in ("training", "testing")]
        yield _part(p, f"text.{what}", parts, f"training and testing {what} of section 2.2")
    yield _part(p, "table_02.total.persons", [f"text.{entity}" for entity in ENTITIES], "persons of the abstract")
    for mapping, classes in ((TO_MODULE_1, MODULE_1_CLASSES), (TO_GROUP, MODULE_2_CLASSES)):
        for name in classes:
            types = [cell_type for cell_type in CELL_TYPES if mapping[cell_type] == name]
            train = [f"table_02.{cell_type}.images_train" for cell_type in types]
            expected, printed = p.total(train), p.total(f"table_06.{name}.{part}" for part in ("train", "validation"))
            how = "train and validation of Table 6 together are the training images of Table 2"
            yield Check("splits equal their parts", f"table_06.{name}.train", how, expected, printed, derives=False)
            pairs = (("testing", "images_test"), ("smears_train", "smears_train"), ("smears_test", "smears_test"))
            for column, other in pairs:
                parts = [f"table_02.{cell_type}.{other}" for cell_type in types]
                yield _part(p, f"table_06.{name}.{column}", parts, f"rows of Table 2, {other.replace('_', ' ')}")
    yield from _diagnoses(p)
    yield from _smears(p)
    yield from _shares(p)


def _diagnoses(p: Numbers) -> Iterator[Check]:
    by = table("01")["diagnosis"]
    monoblastic = "acute monoblastic/monocytic leukaemia"
    rows = {name: [s for s in by.index[by.eq(name)] if s != monoblastic] for name in ("APL", "AML", "ALL", "infection")}
    of = {"abnormal_promyelocyte": rows["APL"], "myeloblast": rows["AML"], "monoblast": [monoblastic]}
    of |= {"b_lymphoblast": rows["ALL"], "reactive_lymphocyte": rows["infection"]}
    for cell_type, subtypes in of.items():
        for column in ("images_train", "images_test"):
            parts = [f"table_01.{subtype}.{column}" for subtype in subtypes]
            yield _part(p, f"table_02.{cell_type}.{column}", parts, "rows of the diagnosis in Table 1")
    persons = {
        "table_06.abnormal_promyelocyte": rows["APL"],
        "table_06.myeloid_blast": [*rows["AML"], monoblastic],
        "table_06.b_lymphoblast": rows["ALL"],
        "table_06.reactive_lymphocyte": rows["infection"],
        "table_02.infections": rows["infection"],
        "table_02.acute_leukaemia": [*rows["APL"], *rows["AML"], monoblastic, *rows["ALL"]],
    }
    for id, subtypes in persons.items():
        parts = [f"table_01.{subtype}.patients" for subtype in subtypes]
        yield _part(p, f"{id}.persons", parts, "patients of Table 1")


def _smears(p: Numbers) -> Iterator[Check]:
    for true, name in zip(SMEAR_CLASSES, MODULE_1_CLASSES, strict=True):
        parts = [f"table_09a.{true}.{predicted}" for predicted in SMEAR_CLASSES]
        yield _part(p, f"table_06.{name}.smears_test", parts, "smears of its row in Table 9A")
    for true, name in zip(("AML", "ALL"), MODULE_2_CLASSES, strict=True):
        parts = [f"table_09b.{true}.{predicted}" for predicted in ("AML", "ALL", "UNK")]
        yield _part(p, f"table_06.{name}.smears_test", parts, "smears of its row in Table 9B")


def _shares(p: Numbers) -> Iterator[Check]:
    rule = "splits equal their parts"
    for split in ("training", "testing"):
        id = f"text.{split}_share"
        share = 100 * p[f"text.{split}_smears"] / p["text.smears"]
        yield Check(rule, id, f"{split} smears among all smears, in %", share, p[id], p.half(id))
    ids = ("text.train_share", "text.validation_share")
    yield Check(rule, ids[0], "the two shares make 100%", 100 - p[ids[1]], p[ids[0]], p.half(ids[0]))
    for name in (*MODULE_1_CLASSES, *MODULE_2_CLASSES):
        train, validation = (p[f"table_06.{name}.{part}"] for part in ("train", "validation"))
        how = f"share of the {name.replace('_', ' ')} images of Table 6 that validate, in %"
        share = 100 * validation / (train + validation)
        yield Check(rule, ids[1], how, share, p[ids[1]], p.half(ids[1]), derives=False)


TWINS = {
    **{f"table_12.{name}.accuracy": f"table_03.hold_out.{name}.whole" for name in
       ("vgg16", "resnet101", "densenet121", "senet154")},
    **{f"table_11.{name}.proposed": f"table_07a.{name}.{name}" for name in MODULE_1_CLASSES[:4]},
    "table_11.myeloblast.proposed": "table_07b.myeloid_blast.myeloid_blast",
    "table_11.b_lymphoblast.proposed": "table_07b.b_lymphoblast.b_lymphoblast",
}  # fmt: skip
"""Cells of two tables that hold one quantity; those of the text say so in the record (same_as)."""


def equal(p: Numbers) -> Iterator[Check]:
    """One quantity is printed alike wherever it is printed, at the coarser of the two roundings.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    rule = "one quantity, one value"
    known = record()["same_as"]
    places = record()["place"]
    for id, other in {**known[known.ne("")].to_dict(), **TWINS}.items():
        finer = p.half(id) != p.half(other) and (p[id] % 1 or p[other] % 1)
        tolerance = max(p.half(id), p.half(other)) if finer else 0.0
        repairs = {id: p[other], other: p[id]}
        how = f"as in {places[other]} ({other})"
        yield Check(rule, id, how, p[other], p[id], tolerance, derives=False, repairs=repairs)
    id, other = "text.training_cells", "text.training_images"
    how = "cells of the training set are its images (section 2.2)"
    yield Check(rule, id, how, p[other], p[id], repairs={id: p[other], other: p[id]})
    over = "the images are at least as many as the round number says"
    yield at_least(rule, "text.images", over, p["text.s4.images_over"], p["text.images"])


RULES = (totals, splits, equal)
