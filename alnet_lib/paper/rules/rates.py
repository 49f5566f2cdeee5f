"""Rules of percentages: rows that make 100, counts behind percentages, rates that follow from confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from alnet_lib.core.vocabulary import CELL_GROUPS, MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.paper.printed import places
from alnet_lib.paper.rules.check import Check, Numbers
from alnet_lib.paper.rules.counts import SMEAR_CLASSES

_ATTAINABLE = "a count attains the percentage"


_CONFUSION = "rates follow from the confusion matrix"


LARGEST_N = 2000
"""How far the search goes for the smallest number of images that all percentages of a row could come from."""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix printed in %.

    Attributes
    ----------
    name : str
        Id of the table.
    classes : sequence of str
        Rows are reference classes, columns predicted ones.
    percent : ndarray
        float (k, k), in %.
    half : float
        Half a unit of the last printed decimal.
    n : ndarray
        Images of each row.
    """

    name: str
    classes: Sequence[str]
    percent: np.ndarray
    half: float
    n: np.ndarray

    @property
    def label(self) -> str:
        """`Table 7A` of `table_07a`."""
        return f"Table {self.name.removeprefix('table_').lstrip('0').upper()}"

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest number of images of each cell that rounds to what is printed."""
        low, high = ((self.percent + d).clip(0, 100) / 100 * self.n[:, None] for d in (-self.half, self.half))
        return low, high

    def id(self, reference: str, predicted: str) -> str:
        """The record's id of a cell.

        Parameters
        ----------
        reference, predicted : str
            Reference class and predicted class.

        Returns
        -------
        str
            `<table>.<reference>.<predicted>`.
        """
        return f"{self.name}.{reference}.{predicted}"


def matrix(p: Numbers, name: str, classes: Sequence[str], sizes: dict[str, str]) -> Matrix:
    """A printed confusion matrix.

    Parameters
    ----------
    p : Numbers
        The printed numbers.
    name : str
        Id of the table.
    classes : sequence of str
        Its classes, in order.
    sizes : dict
        Class -> id of its number of testing images.

    Returns
    -------
    Matrix
        Trailing zeros are not printed, so the finest cell gives the rounding of all.
    """
    ids = [[f"{name}.{true}.{predicted}" for predicted in classes] for true in classes]
    finest = max(places(p.printed[id]) for row in ids for id in row)
    percent = np.array([[p[id] for id in row] for row in ids])
    return Matrix(name, classes, percent, 0.5 * 10.0**-finest, np.array([p[sizes[c]] for c in classes]))


def matrices(p: Numbers) -> list[Matrix]:
    """Tables 4, 7A and 7B.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Returns
    -------
    list of Matrix
        In this order.
    """
    sizes = {name: f"table_06.{name}.testing" for name in (*MODULE_1_CLASSES, *MODULE_2_CLASSES)}
    return [
        matrix(p, "table_04", CELL_GROUPS, sizes),
        matrix(p, "table_07a", MODULE_1_CLASSES, sizes),
        matrix(p, "table_07b", MODULE_2_CLASSES, sizes),
    ]


def rows_make_100(p: Numbers) -> Iterator[Check]:
    """Rows of a matrix of percentages sum to 100, each cell rounded.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    rows = [
        ([m.id(true, predicted) for predicted in m.classes], m.half) for m in matrices(p) for true in m.classes
    ]  # fmt: skip
    rows.append(([f"table_09b.ALL.{name}.percent" for name in ("AML", "ALL", "UNK")], 0.5))
    for ids, half in rows:
        total = p.total(ids)
        repairs = {id: p[id] + 100 - total for id in ids}
        how = f"the {len(ids)} cells of the row of {ids[0].split('.')[1]}"
        yield Check("a row makes 100%", ids[0], how, 100.0, total, half * len(ids), derives=False, repairs=repairs)


def nearest_attainable(percent: float, n: int) -> tuple[float, int]:
    """The percentage k of n that is nearest to `percent`, and k.

    Parameters
    ----------
    percent : float
        In [0, 100].
    n : int
        Images.

    Returns
    -------
    tuple
        Percentage, and count k.
    """
    k = round(percent / 100 * n)
    return 100 * k / n, k


def smallest_n(percents: Sequence[float], half: float, largest: int = LARGEST_N) -> int | None:
    """The smallest number of images of which whole counts round to all the percentages, up to `largest`.

    Parameters
    ----------
    percents : sequence of float
        Printed percentages.
    half : float
        Half a unit of their last decimal.
    largest : int
        Where the search ends.

    Returns
    -------
    int or None
        None where there is none.
    """
    for n in range(1, largest + 1):
        if all(abs(nearest_attainable(x, n)[0] - x) <= half + 1e-9 for x in percents):
            return n
    return None


def _attains(p: Numbers, id: str, n: float, half: float, of: str, least: str = "") -> Check:
    value, k = nearest_attainable(p[id], int(n))
    how = f"nearest is {k} of {n:.0f} {of}{least}"
    return Check(_ATTAINABLE, id, how, value, p[id], half, derives=False)


def attainable(p: Numbers) -> Iterator[Check]:
    """A printed percentage is a whole count out of the stated number.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    for m in matrices(p):
        for row, true in enumerate(m.classes):
            least = smallest_n(m.percent[row], m.half)
            hint = f"; the row's percentages need at least {least}" if least and least > m.n[row] else ""
            for predicted in m.classes:
                yield _attains(p, m.id(true, predicted), m.n[row], m.half, f"testing {true.replace('_', ' ')}", hint)
    images, blasts = p["text.testing_images"], p["table_06.blast.testing"]
    for id, n in (
        *((f"table_03.hold_out.{b}.testing", images) for b in ("vgg16", "resnet101", "densenet121", "senet154")),
        ("table_05.vgg16.testing", blasts),
        ("table_05.vgg19.testing", blasts),
        ("text.module_1.accuracy", images),
        ("text.module_2.accuracy", blasts),
        ("text.external.module_1.accuracy", p["text.external.images"]),
        ("text.external.module_2.myeloid_blast", p["text.external.myeloid_blast"]),
        ("text.external.module_2.b_lymphoblast", p["text.external.b_lymphoblast"]),
        ("text.module_1.validation_accuracy", p.total(f"table_06.{c}.validation" for c in MODULE_1_CLASSES)),
        ("text.module_2.validation_accuracy", p["table_06.blast.validation"]),
    ):
        yield _attains(p, id, n, p.half(id), "images")
    yield from _counted(p)


def _counted(p: Numbers) -> Iterator[Check]:
    """Percentages whose count the paper prints beside them."""
    pairs = {
        "text.training_cells_misclassified_share": ("text.training_cells_misclassified", ["text.training_cells"]),
        "text.external.AML_sensitivity": ("text.external.AML_smears_right", ["text.external.AML_smears"]),
        "text.external.ALL_sensitivity": ("text.external.ALL_smears_right", ["text.external.ALL_smears"]),
    }
    for true in SMEAR_CLASSES:
        row = [f"table_09a.{true}.{predicted}" for predicted in SMEAR_CLASSES]
        pairs[f"table_09a.{true}.{true}.percent"] = (f"table_09a.{true}.{true}", row)
    for true in ("AML", "ALL"):
        row = [f"table_09b.{true}.{predicted}" for predicted in ("AML", "ALL", "UNK")]
        pairs |= {f"{id}.percent": (id, row) for id in row if f"{id}.percent" in p}
    for id, (count, parts) in pairs.items():
        n = p.total(parts)
        how = f"{p[count]:.0f} of {n:.0f}"
        yield Check(_ATTAINABLE, id, how, 100 * p[count] / n, p[id], p.half(id))


def rate_bounds(m: Matrix, rate: str, index: int) -> tuple[float, float, float]:
    """A rate in % of one class from a matrix in %: as printed, and the least and most that its rounding allows.

    Parameters
    ----------
    m : Matrix
        Printed confusion matrix.
    rate : str
        `sensitivity`, `specificity` or `precision`.
    index : int
        Position of the class.

    Returns
    -------
    tuple of float
        From the printed cells, least, most; in %.
    """
    low, high = m.bounds
    counts = m.percent / 100 * m.n[:, None]
    others = np.arange(len(m.classes)) != index

    def of(hit: np.ndarray, miss: np.ndarray) -> float:
        if rate == "sensitivity":
            return 100 * hit[index, index] / m.n[index]
        false = miss[others, index].sum()
        if rate == "specificity":
            return 100 * (1 - false / m.n[others].sum())
        return 100 * hit[index, index] / (hit[index, index] + false)

    return of(counts, counts), of(low, high), of(high, low)


def accuracy_bounds(m: Matrix) -> tuple[float, float, float]:
    """Overall accuracy in %: as printed, and the least and most that its rounding allows.

    Parameters
    ----------
    m : Matrix
        Printed confusion matrix.

    Returns
    -------
    tuple of float
        From the printed cells, least, most; in %.
    """
    low, high = m.bounds
    counts = m.percent / 100 * m.n[:, None]
    printed, least, most = (100 * float(np.trace(c)) / float(m.n.sum()) for c in (counts, low, high))
    return printed, least, most


def _within(p: Numbers, id: str, how: str, bounds: tuple[float, float, float]) -> Check:
    value, low, high = bounds
    tolerance = p.half(id) + max(value - low, high - value)
    wide = math.isfinite(value) and abs(p[id] - value) > 1
    return Check(_CONFUSION, id, how, value, p[id], tolerance, conclusion=wide)


def confusion(p: Numbers) -> Iterator[Check]:
    """Sensitivity, specificity, precision and accuracy follow from Tables 4, 7, 9 and the numbers of images.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    first, *modules = matrices(p)
    for m, ids in (
        (first, ["text.table_04.accuracy"]),
        (modules[0], ["text.module_1.accuracy"]),
        (modules[1], ["text.module_2.accuracy", "table_05.vgg19.testing"]),
    ):
        for id in ids:
            yield _within(p, id, f"diagonal of {m.label} weighted by testing images", accuracy_bounds(m))
    for m in modules:
        for index, name in enumerate(m.classes):
            for rate in ("sensitivity", "specificity", "precision"):
                how = f"{rate} from {m.label} and the testing images of Table 6"
                yield _within(p, f"table_08.{rate}.{name}", how, rate_bounds(m, rate, index))
    yield from _smears(p)


def smear_rates(p: Numbers, table: str, rows: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """Rates in % from counts of smears, an unknown verdict counts as a wrong one: `AML.sensitivity`, `accuracy` ...

    Parameters
    ----------
    p : Numbers
        The printed numbers.
    table : str
        Id of the table of counts.
    rows, columns : sequence of str
        Reference and predicted classes; the first columns are the rows'.

    Returns
    -------
    dict
        `<class>.<rate>` and `accuracy`, in %.
    """
    counts = np.array([[p[f"{table}.{true}.{predicted}"] for predicted in columns] for true in rows])
    n, found = counts.sum(), {"accuracy": 100 * np.trace(counts) / counts.sum()}
    for i, name in enumerate(rows):
        hit, false, own = counts[i, i], counts[:, i].sum() - counts[i, i], counts[i].sum()
        found[f"{name}.sensitivity"] = 100 * hit / own
        found[f"{name}.specificity"] = 100 * (1 - false / (n - own))
        found[f"{name}.precision"] = 100 * hit / (hit + false)
    return {key: float(value) for key, value in found.items()}


def _smears(p: Numbers) -> Iterator[Check]:
    one = smear_rates(p, "table_09a", SMEAR_CLASSES, SMEAR_CLASSES)
    two = smear_rates(p, "table_09b", ("AML", "ALL"), ("AML", "ALL", "UNK"))
    derived = {"text.table_09a.accuracy": one["accuracy"], "text.table_09b.accuracy": two["accuracy"]}
    derived |= {f"text.s4.APL.{rate}": one[f"APL.{rate}"] for rate in ("specificity", "precision")}
    derived |= {f"text.{key}": value for key, value in two.items() if key != "accuracy"}
    for id, value in derived.items():
        how = f"counts of Table 9{'A' if id.startswith(('text.s4.APL', 'text.table_09a')) else 'B'}, unknown is wrong"
        yield Check(_CONFUSION, id, how, value, p[id], p.half(id), conclusion=abs(p[id] - value) > 1)


RULES = (rows_make_100, attainable, confusion)
