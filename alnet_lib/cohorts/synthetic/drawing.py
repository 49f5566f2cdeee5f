"""Drawing one cell: optical densities of haemoglobin, cytoplasm, chromatin and granules, seen by transmitted light.

Layers add optical density, and light is what is left of the background (Beer and Lambert), so overlaps darken as they
do on glass. Shapes are polar outlines with a few harmonics; textures are smoothed noise of two grain sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import cv2
import numpy as np

HEIGHT, WIDTH = 363, 360


PIXELS_PER_MICROMETRE = 9.6
"""CellaVision pictures show a red cell of 7.5 micrometres about 75 pixels wide."""


HAEMOGLOBIN = np.array([0.377, 0.606, 0.348], np.float32)


CYTOPLASM = np.array([0.60, 0.66, 0.20], np.float32)


CHROMATIN = np.array([0.866, 1.42, 0.366], np.float32)


AZUROPHIL = np.array([0.50, 1.25, 0.50], np.float32)


EOSINOPHIL = np.array([0.12, 0.62, 0.80], np.float32)


BASOPHIL = np.array([1.10, 1.30, 0.55], np.float32)


NEUTROPHIL = np.array([0.14, 0.34, 0.16], np.float32)
"""Optical density (red, green, blue) of each stained substance at unit amount, read off stained smears."""


TINT = {"chromatin": 0.065, "cytoplasm": 0.07}
"""How much the hue of a substance varies from place to place within a cell."""


GRANULE_COLOURS = {"eosinophil": EOSINOPHIL, "basophil": BASOPHIL, "neutrophil": NEUTROPHIL}


WARM, COOL = np.array([253.6, 228.6, 202.6], np.float32), np.array([236, 240, 240], np.float32)


_Y, _X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


_ANGLES = np.linspace(0, 2 * np.pi, 720, endpoint=False, dtype=np.float32)


def _noise(rng: np.random.Generator, grain: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Smooth noise about 0 with unit spread, float32 of that size; grain is its correlation length in pixels."""
    height, width = size
    shape = (int(height / grain) + 3, int(width / grain) + 3)
    field = cv2.resize(rng.standard_normal(shape, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return field * 1.4


def _outline(
    rng: np.random.Generator, waviness: float, *, notches: tuple[tuple[float, float, float], ...] = ()
) -> np.ndarray:
    """Relative radius at 720 angles: harmonics 2 to 7, and notches (angle, depth, width)."""
    radius = np.ones_like(_ANGLES)
    for k in range(2, 8):
        radius += waviness * rng.normal() * 1.6 / k * np.cos(k * _ANGLES + rng.uniform(0, 2 * np.pi))
    for angle, depth, width in notches:
        apart = np.angle(np.exp(1j * (_ANGLES - angle)))
        radius *= 1 - depth * np.exp(-((apart / width) ** 2))
    return np.clip(radius, 0.2, 1.8).astype(np.float32)


def _distance(centre: np.ndarray, radius: float, elongation: float, angle: float, outline: np.ndarray) -> np.ndarray:
    """Pixels inside (negative) or outside (positive) of the outline, along the radius."""
    dx, dy = _X - centre[0], _Y - centre[1]
    c, s = np.cos(angle), np.sin(angle)
    stretch = np.sqrt(elongation)
    r, theta = cv2.cartToPolar((c * dx + s * dy) / stretch, (c * dy - s * dx) * stretch)
    index = (theta * (720 / (2 * np.pi))).astype(np.int32) % 720
    return r - radius * outline[index]


def _soft(distance: np.ndarray, width: float = 1.2) -> np.ndarray:
    return np.clip(0.5 - distance / (2 * width), 0, 1)


class _Cell:
    """Geometry of one drawn cell: soft masks in [0, 1], float32 (363, 360)."""

    def __init__(self, p: Mapping[str, float], optics: Mapping[str, float], rng: np.random.Generator) -> None:
        scale = PIXELS_PER_MICROMETRE * optics["zoom"]
        self.scale = scale
        self.centre = np.array([WIDTH / 2, HEIGHT / 2]) + rng.normal(0, 4, 2)
        self.radius = p["cell_diameter"] * scale / 2
        angle = rng.uniform(0, np.pi)
        outline = _outline(rng, p["outline_irregularity"])
        distance = _distance(self.centre, self.radius, p["elongation"], angle, outline)
        for _ in range(round(p["blebs"])):
            at = rng.uniform(0, 2 * np.pi)
            spot = self.centre + self.radius * np.array([np.cos(at), np.sin(at)])
            distance = np.minimum(
                distance, np.hypot(_X - spot[0], _Y - spot[1]) - self.radius * rng.uniform(0.08, 0.18)
            )
        self.red, self.red_mask = _red_cells(self, optics, rng)
        cell = _soft(distance)
        # A skirting cell gives way to the red cells it meets; the others lie on top of them.
        self.cell = cell * (1 - np.clip(1.3 * p["skirting"], 0, 1) * cv2.GaussianBlur(self.red_mask, (0, 0), 2.0))
        self._nucleus(p, rng)
        self.cell = np.maximum(self.cell, self.nucleus)
        self.depth = np.clip(-distance / self.radius, 0, 1)

    def window(self, margin: int = 4) -> tuple[tuple[slice, slice], _Cell]:
        """The box that holds the cell, and the cell in that box's coordinates: most layers need no more."""
        rows, columns = np.flatnonzero(self.cell.max(1) > 0), np.flatnonzero(self.cell.max(0) > 0)
        down, across = (slice(max(i[0] - margin, 0), i[-1] + margin + 1) for i in (rows, columns))
        box = (down, across)
        local = copy.copy(self)
        for name in ("cell", "nucleus", "nucleus_distance", "depth"):
            setattr(local, name, getattr(self, name)[box])
        corner = np.array([box[1].start, box[0].start])
        local.centre, local.nucleus_centre = self.centre - corner, self.nucleus_centre - corner
        return box, local

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the masks."""
        return self.cell.shape

    def _nucleus(self, p: Mapping[str, float], rng: np.random.Generator) -> None:
        radius = self.radius * np.sqrt(p["nc_ratio"])
        at = rng.uniform(0, 2 * np.pi)
        room = max(self.radius - radius, 0) * p["eccentricity"] * 0.9
        self.nucleus_centre = self.centre + room * np.array([np.cos(at), np.sin(at)])
        notch = rng.uniform(0, 2 * np.pi)
        notches: tuple[tuple[float, float, float], ...] = ((notch, p["indentation"], rng.uniform(0.35, 0.6)),)
        if p["bilobation"] > 0.05:
            notches += tuple((notch + shift, p["bilobation"], 0.38) for shift in (0, np.pi))
        outline = _outline(rng, p["nucleus_irregularity"], notches=notches)
        # Notches take area away: the outline is scaled so that the nucleus keeps its share of the cell.
        outline = outline / np.sqrt(np.mean(outline**2))
        distance = _distance(self.nucleus_centre, radius, p["nucleus_elongation"], rng.uniform(0, np.pi), outline)
        self.nucleus_radius = radius
        self.nucleus_distance = distance
        self.nucleus = _soft(distance) * np.clip(self.cell * 1.6, 0, 1)


def _red_cells(cell: _Cell, optics: Mapping[str, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Haemoglobin's optical density and a soft mask of the red cells around the cell."""
    density, mask = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    usual = 7.4 * cell.scale / 2
    centres: list[np.ndarray] = []
    for _ in range(int(optics["density"] * 6)):
        if len(centres) >= optics["density"]:
            break
        spot = rng.uniform((-0.5 * usual, -0.5 * usual), (WIDTH + 0.5 * usual, HEIGHT + 0.5 * usual))
        clear = np.hypot(*(spot - cell.centre)) > cell.radius + usual * rng.uniform(0.55, 1.05)
        if clear and all(np.hypot(*(spot - other)) > usual * rng.uniform(1.5, 2.3) for other in centres):
            centres.append(spot)
            _red_cell(density, mask, spot, usual, optics, rng)
    return density, mask


def _red_cell(
    density: np.ndarray,
    mask: np.ndarray,
    spot: np.ndarray,
    usual: float,
    optics: Mapping[str, float],
    rng: np.random.Generator,
) -> None:
    radius = usual * rng.normal(1.0, 0.06)
    reach = int(radius * 1.35)
    x0, x1 = max(int(spot[0]) - reach, 0), min(int(spot[0]) + reach, WIDTH)
    y0, y1 = max(int(spot[1]) - reach, 0), min(int(spot[1]) + reach, HEIGHT)
    if x1 <= x0 or y1 <= y0:
        return
    dx, dy = _X[y0:y1, x0:x1] - spot[0], _Y[y0:y1, x0:x1] - spot[1]
    angle, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, 1.22))
    c, s = np.cos(angle), np.sin(angle)
    r, theta = cv2.cartToPolar((c * dx + s * dy) / stretch, (c * dy - s * dx) * stretch)
    spikes = rng.integers(7, 12)
    wave = (
        1
        + 0.012 * np.cos(3 * theta + angle)
        + optics["crenation"] * (np.cos(spikes * theta) + 0.8 * np.cos((spikes + 3) * theta + angle))
    )
    rho = r / (radius * wave)
    inside = np.clip((1 - rho) * radius / 2.2 + 0.5, 0, 1)
    pallor = optics["pallor"] * rng.uniform(0.75, 1.1)
    shift = np.hypot(dx - rng.normal(0, 2), dy - rng.normal(0, 2)) / radius
    profile = 1 - pallor * np.exp(-((shift / 0.36) ** 2)) + 0.10 * np.exp(-(((rho - 0.93) / 0.07) ** 2))
    density[y0:y1, x0:x1] += inside * profile * rng.normal(1.0, 0.06)
    mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], inside)


def _discs(centres: np.ndarray, radii: np.ndarray, blur: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Soft discs, float32 of that size in [0, 1]; centres (n, 2) as x, y."""
    layer = np.zeros(size, np.uint8)
    for (x, y), radius in zip((centres * 16).astype(int), (radii * 16).astype(int), strict=True):
        cv2.circle(layer, (int(x), int(y)), int(max(radius, 6)), 255, -1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(layer, (0, 0), blur).astype(np.float32) / 255


def _within(rng: np.random.Generator, count: int, centre: np.ndarray, radius: float) -> np.ndarray:
    angle, r = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
    return centre + np.stack([r * np.cos(angle), r * np.sin(angle)], 1)


def _chromatin(cell: _Cell, p: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Amount of chromatin: clumps or a fine net, a membrane, folds, nucleoli."""
    coarse = p["chromatin_coarseness"]
    clumps = np.tanh(1.6 * _noise(rng, 6 + 5 * coarse, cell.size))
    net = _noise(rng, 1.9, cell.size)
    amount = 1 + (0.10 + 0.24 * coarse) * clumps + (0.16 - 0.06 * coarse) * net + 0.08 * _noise(rng, 18, cell.size)
    amount += 0.22 * np.exp(-((cell.nucleus_distance / 2.2) ** 2))
    for _ in range(round(p["folds"])):
        ends = _within(rng, 3, cell.nucleus_centre, cell.nucleus_radius * 0.95)
        t = np.linspace(0, 1, 16)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        line = np.zeros(cell.size, np.uint8)
        cv2.polylines(line, [(curve * 16).astype(np.int32)], False, 255, int(rng.integers(2, 5)), cv2.LINE_AA, 4)
        amount += 0.30 * cv2.GaussianBlur(line, (0, 0), 2.0).astype(np.float32) / 255
    count = round(p["nucleoli"])
    if count:
        centres = _within(rng, count, cell.nucleus_centre, cell.nucleus_radius * 0.7)
        radii = rng.uniform(0.55, 1.15, count) * cell.scale
        pale, wide = _discs(centres, radii, 1.6, cell.size), _discs(centres, radii + 3, 1.6, cell.size)
        amount += p["nucleolus_prominence"] * (0.28 * wide - 0.72 * pale)
    return np.clip(amount, 0.15, 2.2)


def _tinted(amount: np.ndarray, colour: np.ndarray, tint: float, rng: np.random.Generator) -> np.ndarray:
    """Optical density (H, W, 3) of an amount (H, W): hue varies from place to place, blue absorption least."""
    mean = float(np.median(amount))
    layers = []
    for channel, follows in enumerate((0.8, 1.0, 0.45)):
        own = mean + follows * (amount - mean)
        layers.append(
            colour[channel] * own * (1 + tint * (_noise(rng, 2.8, amount.shape) + 0.6 * _noise(rng, 12, amount.shape)))
        )
    return np.stack(layers, axis=2)


def _cytoplasm(cell: _Cell, p: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Amount of basophilic cytoplasm: darker towards the rim, paler beside the nucleus, with vacuoles."""
    rim = np.exp(-cell.depth / 0.16)
    amount = (
        p["basophilia"]
        * (0.55 + 0.9 * p["rim_basophilia"] * rim)
        * (1 + 0.14 * _noise(rng, 9, cell.size) + 0.13 * _noise(rng, 3, cell.size))
    )
    amount += 0.10 * np.exp(-cell.depth / 0.04)
    count = round(p["vacuoles"])
    if count:
        holes = _discs(
            _within(rng, count, cell.centre, cell.radius * 0.92),
            rng.uniform(0.3, 0.8, count) * cell.scale,
            1.0,
            cell.size,
        )
        amount *= 1 - 0.85 * holes
        cell.nucleus = cell.nucleus * (1 - 0.55 * holes)
    return np.clip(amount, 0.03, 2.0)


def _granules(cell: _Cell, p: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Amount of granule substance: azurophil dots and Auer rods, lying over cytoplasm and in part over the nucleus."""
    count = round(p["granules"])
    layer = np.zeros(cell.size, np.float32)
    if count:
        centres = _within(rng, count, cell.centre, cell.radius * 0.97)
        radii = np.clip(rng.normal(p["granule_size"] / 2, 0.05, count), 0.08, 0.6) * cell.scale
        layer = _discs(centres, radii, 0.8, cell.size)
    rods = round(p["auer_rods"])
    if rods:
        # Rods lie in bundles (faggots) in APL: one main direction.
        main = rng.uniform(0, np.pi)
        lines = np.zeros(cell.size, np.uint8)
        for start in _within(rng, rods, cell.centre, cell.radius * 0.8):
            way = main + rng.normal(0, 0.35)
            end = start + rng.uniform(2.0, 4.5) * cell.scale * np.array([np.cos(way), np.sin(way)])
            first, last = ([int(v) for v in point * 16] for point in (start, end))
            cv2.line(lines, first, last, 255, int(rng.integers(2, 4)), cv2.LINE_AA, 4)
        layer = np.maximum(layer, 1.25 * cv2.GaussianBlur(lines, (0, 0), 0.8).astype(np.float32) / 255)
    return layer * (1 - 0.55 * cell.nucleus)


def _platelets(cell: _Cell, rng: np.random.Generator) -> np.ndarray:
    count = int(rng.poisson(0.8))
    centres = rng.uniform((0, 0), (WIDTH, HEIGHT), (count, 2))
    layer = _discs(centres, rng.uniform(0.8, 1.5, count) * cell.scale, 2.2)
    return layer * np.clip(0.45 + 0.35 * _noise(rng, 3), 0.1, 1.2) * (1 - cell.cell)


def draw(p: Mapping[str, float], cell_type: str, optics: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Draw one cell.

    Parameters
    ----------
    p : mapping of str to float
        Criterion to value (morphology.CRITERIA).
    cell_type : str
        Chooses the colour of the granules.
    optics : mapping of str to float
        Of the smear (morphology.optics).
    rng : numpy.random.Generator
        The image's own.

    Returns
    -------
    ndarray
        uint8 (363, 360, 3), RGB.
    """
    shape = np.random.default_rng(rng.integers(1 << 62))
    cell = _Cell(p, optics, shape)
    box, local = cell.window()
    cytoplasm, chromatin = _cytoplasm(local, p, rng), _chromatin(local, p, rng)
    granules = _granules(local, p, rng) * local.cell
    body = local.cell * (1 - local.nucleus)
    stain, pinkness = optics["stain"], optics["pinkness"]
    turn = np.array([1 + optics["hue"], 1.0, 1 - optics["hue"]], np.float32)
    around = cell.red * (1 - cell.cell) * pinkness
    platelets = _platelets(cell, rng) * stain
    od = around[:, :, None] * HAEMOGLOBIN + platelets[:, :, None] * (AZUROPHIL * turn)
    density = p["chromatin_density"] * stain
    od[box] += local.nucleus[:, :, None] * _tinted(chromatin, CHROMATIN * turn * density, TINT["chromatin"], shape)
    od[box] += body[:, :, None] * _tinted(cytoplasm, CYTOPLASM * turn * stain, TINT["cytoplasm"], shape)
    od[box] += (0.10 * pinkness * body)[:, :, None] * HAEMOGLOBIN
    od[box] += (granules * stain)[:, :, None] * (GRANULE_COLOURS.get(cell_type, AZUROPHIL) * turn)
    od += 0.006 * _noise(rng, 90)[:, :, None]
    light = (optics["warmth"] * WARM + (1 - optics["warmth"]) * COOL) * np.exp(-od)
    slope = rng.normal(0, 0.012, 2)
    light *= (1 + slope[0] * (_X / WIDTH - 0.5) + slope[1] * (_Y / HEIGHT - 0.5))[:, :, None]
    light = cv2.GaussianBlur(light, (0, 0), max(optics["blur"] + rng.normal(0, 0.1), 0.2))
    light += (rng.standard_normal((HEIGHT, WIDTH), np.float32) * optics["noise"])[:, :, None]
    return np.clip(light, 0, 255).astype(np.uint8)


def masks(
    p: Mapping[str, float], optics: Mapping[str, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give the reference masks behind `draw` with the same arguments.

    Parameters
    ----------
    p, optics : mapping of str to float
        As of `draw`.
    rng : numpy.random.Generator
        As given to `draw`.

    Returns
    -------
    cell, nucleus : ndarray
        bool (363, 360).
    """
    cell = _Cell(p, optics, np.random.default_rng(rng.integers(1 << 62)))
    return cell.cell > 0.5, cell.nucleus > 0.5
