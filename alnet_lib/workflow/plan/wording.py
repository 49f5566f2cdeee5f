"""The plan in words: a table, what will not fit, where the weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping


def table(content: Mapping[str, Any]) -> pd.DataFrame:
    """The steps of a plan, one a row; what they took beside it where that is known.

    Parameters
    ----------
    content : mapping
        Of `Plan.as_dict`, or of `measured.beside_the_plan`.

    Returns
    -------
    DataFrame
        Units of the comparison of one network are one row; numbers are written out.
    """
    card = content["device"]["kind"] == "cuda"
    rows = [_row(name, parts, card) for name, parts in _grouped(content["steps"]).items()]
    frame = pd.DataFrame(rows).fillna("")
    return frame if any(step.get("taken") for step in content["steps"]) else frame.drop(columns="took")


def _grouped(steps: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        name = step["step"]
        if name.startswith("comparison/"):
            name = name.partition("-")[0]
        groups.setdefault(name, []).append(step)
    return {name if len(parts) == 1 else f"{name}, {len(parts)} units": parts for name, parts in groups.items()}


def _row(name: str, parts: list[dict[str, Any]], card: bool) -> dict[str, str]:
    most = {key: max(part[key] for part in parts) for key in ("device_memory", "host_memory")}
    whole = {key: sum(part[key] for part in parts) for key in ("flops", "disk", "seconds")}
    taken = [part["taken"] for part in parts if part.get("taken")]
    arithmetic, digits = whole["flops"] / 1e12, 1 if whole["flops"] < 1e14 else 0
    row = {"step": name, "TFLOP": f"{arithmetic:,.{digits}f}" if arithmetic else ""}
    if card:
        row["card, GB"] = f"{most['device_memory'] / 1e9:.1f}" if whole["flops"] else ""
    row |= {"memory, GB": f"{most['host_memory'] / 1e9:.1f}", "disk, GB": f"{whole['disk'] / 1e9:.2f}"}
    row["expected"] = duration(whole["seconds"])
    row["took"] = ""
    if taken:
        seconds, used = (sum(one[key] for one in taken) for key in ("seconds", "processor_seconds"))
        memory = max(one["host_memory"] for one in taken) / 1e9
        row["took"] = f"{duration(seconds)} ({duration(used)} of processor, {memory:.1f} GB)"
    return row


def duration(seconds: float) -> str:
    """Write a time: `40 s`, `12 min`, `3.5 h`, `6 days`.

    Parameters
    ----------
    seconds : float
        Not negative.
    """
    for unit, size, digits in (("days", 86_400, 1), ("h", 3_600, 1), ("min", 60, 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} s"


def lines(content: Mapping[str, Any]) -> list[str]:
    """Everything besides the table, a sentence a line.

    Parameters
    ----------
    content : mapping
        Of `Plan.as_dict`.
    """
    device = content["device"]
    cards = f"{device['cards']} x " if device["cards"] > 1 else ""
    processors = f"{content['cores']} processor{'s' if content['cores'] > 1 else ''}"
    where = f"{cards}{device['name']}, {device['precision']}, {device['memory'] / 1e9:.0f} GB of memory free"
    where = f"{where}, {processors}" if device["kind"] == "cuda" else f"{processors} ({where})"
    disk, scratch = sum(step["disk"] for step in content["steps"]) / 1e9, content["scratch"] / 1e9
    out = [
        f"{content['cohort']}, {content['profile']}: {content['images']:,} images on {where}.",
        f"An estimate: {duration(content['seconds'])} where nothing else runs, {disk:,.1f} GB of disk"
        + (f", {scratch:,.1f} GB more for a while." if scratch >= 0.05 else "."),
    ]
    if content["weights"] and all(one["there"] for one in content["weights"]):
        out.append("Weights: all at hand.")
    for one in content["weights"]:
        if not one["there"]:
            said = "not at hand; " + one["command"] if one["command"] else one["said"]
            out.append(f"Weights of {one['network']} ({one['start']}): {said}")
    out += content["notes"]
    return out + [f"WILL NOT WORK: {problem}" for problem in content["problems"]]


def text(content: Mapping[str, Any]) -> str:
    """The whole plan as text of fixed width.

    Parameters
    ----------
    content : mapping
        Of `Plan.as_dict`.
    """
    said = table(content).to_string(index=False, justify="right")
    return "\n".join([said, *lines(content)])
