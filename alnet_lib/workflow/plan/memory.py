"""What a training or a prediction needs of a device's memory and of the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alnet_lib.workflow.plan import counting
    from alnet_lib.workflow.plan.calibration import Device
    from alnet_lib.workflow.plan.work import Work


@dataclass(frozen=True)
class Memory:
    """Bytes that a training or a prediction needs.

    Attributes
    ----------
    fixed : int
        Parameters, gradients, the optimiser's numbers and the copies in half precision.
    image : int
        Of an image on its way forward and back.
    predicted : int
        Of an image that is only predicted.
    batch : int
        Images of a step.
    pixels : int
        Of all images that are fitted on, which lie on a card.
    maps : int
        Of frozen blocks, those before a move and those after it.
    after : int
        Of these, those after it.
    checkpoints : int
        On the disk: two of what trains, while one replaces the other.
    moments : int
        Of Adam, which a card may leave to the host.
    model : int
        On the disk, where the network stays.
    """

    fixed: int
    image: int
    predicted: int
    batch: int
    pixels: int
    maps: int
    after: int
    checkpoints: int
    moments: int
    model: int

    @classmethod
    def of(cls, one: Work, counts: counting.Counts, device: Device) -> Memory:
        """Work it out from what one image costs.

        Parameters
        ----------
        one : Work
            A training or predictions.
        counts : Counts
            Of its network.
        device : Device
            Its precision, and whether pixels lie on a card.
        """
        half = device.precision == "bf16" and not one.explained
        number, frozen = 2 if half else 4, one.frozen(counts)
        every, tail = sum(counts.parameters), sum(counts.parameters[frozen:])
        trains = 12 * tail if one.iterations else 0
        there_and_back = one.iterations or one.explained
        image = number * sum(counts.kept[frozen:]) + sum(counts.other[frozen:]) if there_and_back else 0
        before = counts.maps[frozen - one.of_blocks - 1] if one.mapped and frozen > one.of_blocks else 0
        after = counts.maps[frozen - 1] if one.mapped and frozen else 0
        return cls(
            fixed=(6 if half else 4) * every + trains,
            image=int(image),
            predicted=2 * number * max(counts.largest),
            batch=one.batch,
            pixels=one.fitted * one.size**2 * 3 if device.kind == "cuda" else 0,
            maps=one.mapped * number * (before + after),
            after=one.mapped * number * after,
            checkpoints=2 * trains,
            moments=8 * tail if one.iterations and device.kind == "cuda" else 0,
            model=4 * every if one.saves else 0,
        )

    @property
    def least(self) -> int:
        """One image at a time; maps, pixels and Adam's moments elsewhere."""
        return self.fixed - self.moments + max(self.image, self.predicted)

    def most(self, free: int) -> int:
        """Whole batches; maps and pixels too where they fit.

        Parameters
        ----------
        free : int
            Bytes of the device.
        """
        whole = self.fixed + max(self.batch * self.image, 64 * self.predicted)
        with_pixels = whole + self.pixels
        return with_pixels + self.maps if with_pixels + self.maps <= free else max(min(with_pixels, free), self.least)
