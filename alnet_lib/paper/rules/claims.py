"""Rules of comparisons: what is compared with what, and whether the tables bear out the words."""

from __future__ import annotations

from collections.abc import Iterator

from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.paper.rules.check import Check, Numbers, at_least, at_most
from alnet_lib.paper.rules.training import NETWORKS

CLASSICAL = ("LDA", "SVM", "RF", "KNN", "Bayes")


DEPTHS = ("last_1", "last_2", "last_3", "last_4", "whole")


_COMPARED = "like is compared with like"


_CLAIMED = "tables bear out the words"


def compared(p: Numbers) -> Iterator[Check]:
    """Accuracies that stand side by side are measured alike: on testing images, and for the whole task.

    A difference affects a conclusion where the printed number is above its rival and the comparable one is not.


    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    rival = max(p[f"table_12.{name}.accuracy"] for name in CLASSICAL)
    for name in NETWORKS:
        id, testing = f"table_12.{name}.accuracy", p[f"table_03.hold_out.{name}.testing"]
        how = "testing accuracy of Table 3, to stand beside testing accuracies of the classical methods"
        flips = p[id] > rival >= testing
        yield Check(_COMPARED, id, how, testing, p[id], p.half(id), derives=False, conclusion=flips)
    through = p["table_07a.blast.blast"] / 100
    for name, of in (("myeloblast", "myeloid_blast"), ("b_lymphoblast", "b_lymphoblast")):
        id, earlier = f"table_11.{name}.proposed", p[f"table_11.{name}.earlier"]
        both = through * p[f"table_07b.{of}.{of}"]
        how = "both modules right, if they err independently: the earlier single classifier had to do both"
        flips = p[id] > earlier >= both
        yield Check(_COMPARED, id, how, both, p[id], p.half(id), derives=False, conclusion=flips)
    most = whole_task(p)[1]
    id = "text.introduction.accuracy"
    how = "most that both modules in series can reach over the six groups, to stand beside one classifier of all"
    earlier = p["text.introduction.lda_accuracy"]
    yield at_most(_COMPARED, id, how, most, p[id], tolerance=p.half(id), conclusion=p[id] > earlier >= most)


def whole_task(p: Numbers) -> tuple[float, float]:
    """Least and greatest accuracy in % of both modules in series over the six groups, whatever their errors share.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Returns
    -------
    tuple of float
        Least and greatest, in %.
    """
    n = {name: p[f"table_06.{name}.testing"] for name in (*MODULE_1_CLASSES, "myeloid_blast", "b_lymphoblast")}
    right = sum(p[f"table_07a.{name}.{name}"] / 100 * n[name] for name in MODULE_1_CLASSES[:4])
    first = p["table_07a.blast.blast"] / 100 * n["blast"]
    second = sum(p[f"table_07b.{name}.{name}"] / 100 * n[name] for name in ("myeloid_blast", "b_lymphoblast"))
    images = p["text.testing_images"]
    low, high = max(0.0, first + second - n["blast"]), min(first, second)
    return 100 * (right + low) / images, 100 * (right + high) / images


def claims(p: Numbers) -> Iterator[Check]:
    """Superlatives and bounds of the text hold in the tables they point to; one that fails affects a conclusion.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    testing = {name: p[f"table_03.hold_out.{name}.testing"] for name in NETWORKS}
    folds = {name: p[f"table_03.five_folds.{name}.whole"] for name in NETWORKS}
    for id, values in (("text.s3_1.hold_out_above", testing), ("text.s3_1.five_folds_above", folds)):
        named = min(values["vgg16"], values["senet154"])
        how = "at most the lower of VGG16 and SENet154, which the words put above it"
        yield at_most(_CLAIMED, id, how, named, p[id], tolerance=p.half(id), conclusion=True)
        others = max(values["resnet101"], values["densenet121"])
        best = f"table_03.{'hold_out.senet154.testing' if values is testing else 'five_folds.vgg16.whole'}"
        how = "VGG16 and SENet154 are said to be the best two"
        yield at_least(_CLAIMED, best, how, others, named, conclusion=True)
    for evaluation in ("hold_out", "five_folds"):
        for name in NETWORKS:
            row = f"table_03.{evaluation}.{name}"
            highest = max(p[f"{row}.{depth}"] for depth in DEPTHS[:-1])
            how = "training all blocks is said to be best"
            yield at_least(_CLAIMED, f"{row}.whole", how, highest, p[f"{row}.whole"], conclusion=True)
    for column in ("training_minutes", "classification_seconds"):
        id = f"table_03.hold_out.vgg16.{column}"
        fastest = min(p[f"table_03.hold_out.{name}.{column}"] for name in NETWORKS[1:])
        yield at_most(_CLAIMED, id, "VGG16 is said to be the fastest", fastest, p[id], conclusion=True)
    yield from _literature(p)


def _literature(p: Numbers) -> Iterator[Check]:
    id = "text.s4.lymphoblasts_above"
    worst = min(p[f"table_10.{work}.detection"] for work in ("Thanh", "Ahmed", "Jha", "Prellberg", "Loey", "Vogado"))
    yield at_most(_CLAIMED, id, "the lowest of the six works it is said of", worst, p[id], conclusion=True)
    sizes = [x for x in p.printed if x.startswith("table_10.") and x.endswith(".images") and ".ALNet." not in x]
    id, largest = "table_10.ALNet.images", max(p[x] for x in sizes)
    yield at_least(_CLAIMED, id, "the largest of Table 10, as is said of it", largest, p[id], conclusion=True)
    for id, other, how in (
        ("text.s4.blast_images", "table_10.Matek.blast_images", "more blasts than reference 25"),
        ("text.s4.b_lymphoblast", "table_10.Pansombut.b_lymphoblast", "the best sensitivity for B-lymphoblasts"),
        ("text.s4.abnormal_promyelocyte", "table_10.Matek.abnormal_promyelocyte", "above reference 25"),
    ):
        yield at_least(_CLAIMED, id, how, p[other], p[id], conclusion=True)
    best = max(p[f"table_12.{name}.accuracy"] for name in CLASSICAL[1:])
    how = "the best of the classical methods, as is said of it"
    yield at_least(_CLAIMED, "table_12.LDA.accuracy", how, best, p["table_12.LDA.accuracy"], conclusion=True)


RULES = (compared, claims)
