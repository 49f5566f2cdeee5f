"""Rules of the training: feature vectors, upsampling, iterations and images, times against each other."""

from __future__ import annotations

from collections.abc import Iterator

from alnet_lib.core.vocabulary import CELL_TYPES, LABELS, MODULE_1_CLASSES, MODULE_2_CLASSES, TO_GROUP
from alnet_lib.paper.rules.check import Check, Numbers, at_least, at_most

NETWORKS = ("vgg16", "resnet101", "densenet121", "senet154")


MAP_SIDE = 7
"""Side in pixels of the last maps: 224 pixels halved five times, as all four networks do."""


VGG_DEPTH = {"vgg16": 16, "vgg19": 19}
"""Layers with weights of the two VGGs, three of them fully connected (Simonyan and Zisserman 2014)."""


TIMING = 0.5
"""Share by which two times of the same work may differ: other loads, start-up, reading of files."""


_FEATURES = "feature vectors follow from the architecture"


_REACH = "upsampling targets are reachable"


_ITERATIONS = "iterations against images"


_TIMES = "times against each other"


def features(p: Numbers) -> Iterator[Check]:
    """Numbers of features, maps, layers and outputs follow from the architectures and the classes.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    sides = dict.fromkeys(NETWORKS, float(MAP_SIDE)) | {"vgg19": p["text.vgg19.map_side"]}
    for name, side in sides.items():
        id, maps = f"text.{name}.features", p[f"text.{name}.feature_maps"]
        expected = maps * side**2
        how = f"{maps:.0f} maps of {side:.0f} by {side:.0f} pixels"
        yield Check(_FEATURES, id, how, expected, p[id], repairs={id: expected})
    id = "text.vgg19.map_side"
    how = "224 pixels halved five times, as for the other networks (the maps that VGG's average pooling gives, too)"
    yield Check(_FEATURES, id, how, float(MAP_SIDE), p[id])
    for name, depth in VGG_DEPTH.items():
        id = f"text.{name}.convolutional_layers"
        yield Check(_FEATURES, id, f"{depth} layers with weights, three fully connected", depth - 3, p[id])
    id, block = "figure_07.feature_maps", p["figure_07.block"]
    yield Check(
        _FEATURES, id, "VGG16's first block has 64 maps, each next one twice as many", 64 * 2 ** (block - 1), p[id]
    )
    which = "figure_07.feature_map"
    yield at_least(_FEATURES, id, "at least the number of the map that is shown", p[which], p[id])
    outputs = {
        "text.cell_groups": len(set(TO_GROUP.values())),
        "text.fc3": len(set(TO_GROUP.values())),
        "text.vgg19.fc3": len(MODULE_2_CLASSES),
        "figure_07.caption.classes": len(MODULE_1_CLASSES),
    }
    for id, classes in outputs.items():
        yield Check(_FEATURES, id, "one node for each class", classes, p[id])


def reachable(p: Numbers) -> Iterator[Check]:
    """Groups below the target are marked as upsampled, and an image with its versions is enough to reach the target.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    groups = [(f"table_06.{name}.train", "table_06.footnote.module_1_target") for name in MODULE_1_CLASSES]
    groups += [(f"table_06.{name}.train", "table_06.footnote.module_2_target") for name in MODULE_2_CLASSES]
    for id, target in groups:
        yield _marked(p, id, p[id], p[target])
        if p.marked(id):
            most = p[id] * (1 + p["text.versions"])
            versions = f"each with {p['text.versions']:.0f} versions"
            how = f"{p[id]:.0f} images of {LABELS[id.split('.')[1]]}, {versions}, give {most:.0f}"
            yield Check(_REACH, target, how, min(most, p[target]), p[target], derives=False)
    for group in dict.fromkeys(TO_GROUP.values()):
        types = [cell_type for cell_type in CELL_TYPES if TO_GROUP[cell_type] == group]
        images = p.total(f"table_02.{cell_type}.images_train" for cell_type in types)
        for cell_type in types:
            yield _marked(p, f"table_02.{cell_type}.images_train", images, p["table_02.footnote.upsample_threshold"])


def _marked(p: Numbers, id: str, images: float, target: float) -> Check:
    how = f"marked as upsampled (1) where its {images:.0f} images are fewer than {target:.0f}"
    return Check(_REACH, id, how, float(images < target), float(p.marked(id)), derives=False)


def balanced(p: Numbers) -> dict[str, float]:
    """Training images of each module after upsampling.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Returns
    -------
    dict
        `module 1`, `module 2` -> images.
    """
    one, two = p["table_06.footnote.module_1_target"], p["table_06.footnote.module_2_target"]
    return {
        "module 1": sum(max(p[f"table_06.{name}.train"], one) for name in MODULE_1_CLASSES),
        "module 2": sum(max(p[f"table_06.{name}.train"], two) for name in MODULE_2_CLASSES),
    }


def iterations(p: Numbers) -> Iterator[Check]:
    """Iterations of a batch make at least one pass; no training is faster than classifying as many images.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    seen = p["text.iterations"] * p["text.batch_size"]
    sizes = balanced(p)
    for module, images in sizes.items():
        how = f"one pass over the {images:.0f} balanced images of {module}: {seen / images:.1f} passes in all"
        yield at_least(_ITERATIONS, "text.iterations", how, images / p["text.batch_size"], p["text.iterations"])
    room: list[float] = []
    timed = [(f"table_03.hold_out.{name}", p["text.testing_images"], sizes["module 1"]) for name in NETWORKS]
    timed += [(f"table_05.{name}", p["table_06.blast.testing"], sizes["module 2"]) for name in ("vgg16", "vgg19")]
    for row, classified, images in timed:
        id, rate = f"{row}.training_minutes", classified / p[f"{row}.classification_seconds"]
        how = f"minutes to classify {seen:,.0f} images at {rate:.0f} a second: an iteration is a batch"
        yield at_least(_ITERATIONS, id, how, seen / rate / 60, p[id])
        room.append(p[id] * 60 * rate / images)
    how = (
        "most passes that any printed training time has room for at its speed of classifying: an iteration is an epoch"
    )
    yield at_most(_ITERATIONS, "text.iterations", how, max(room), p["text.iterations"])


def times(p: Numbers) -> Iterator[Check]:
    """Equal work takes equal time; more of it takes longer.

    Parameters
    ----------
    p : Numbers
        The printed numbers.

    Yields
    ------
    Check
        One a relation.
    """
    folds, share = p["text.folds"], p["text.images"] / p["text.testing_images"]
    for name in NETWORKS:
        for column, factor, how in (
            ("training_minutes", folds, f"{folds:.0f} folds of the iterations of the hold-out training"),
            ("classification_seconds", share, "all images once, at the hold-out's seconds an image"),
        ):
            id = f"table_03.five_folds.{name}.{column}"
            yield _same(p, id, how, factor * p[f"table_03.hold_out.{name}.{column}"])
    id, other = "table_05.vgg16.training_minutes", "table_03.hold_out.vgg16.training_minutes"
    yield _same(p, id, "the same network, iterations and batch as in Table 3", p[other])
    id, other = "table_05.vgg16.classification_seconds", "table_03.hold_out.vgg16.classification_seconds"
    fewer = p["table_06.blast.testing"] / p["text.testing_images"]
    yield _same(p, id, "the same network's seconds an image in Table 3", fewer * p[other])
    for column in ("training_minutes", "classification_seconds"):
        how = "VGG19 has VGG16's layers and three more, and the same images"
        yield at_least(
            _TIMES, f"table_05.vgg19.{column}", how, p[f"table_05.vgg16.{column}"], p[f"table_05.vgg19.{column}"]
        )


def _same(p: Numbers, id: str, how: str, expected: float) -> Check:
    return Check(_TIMES, id, how, expected, p[id], TIMING * expected, derives=False)


RULES = (features, reachable, iterations, times)
