"""The parsing of the DATA argument."""

from __future__ import annotations

import re


def cohort_folders(cohort: str, data: str) -> dict[str, str]:
    """Find the folder of each part of a cohort's name.

    Parameters
    ----------
    cohort : str
        One or more names joined by `+`.
    data : str
        The folder for one name, `a=DIR,b=DIR` for several; may be empty.

    Returns
    -------
    dict of str to str
        Name to folder, for the names that have one.

    Raises
    ------
    ValueError
        A name that is no part of the cohort.
    """
    names = cohort.split("+")
    if len(names) == 1:
        return {cohort: data.removeprefix(f"{cohort}=")} if data else {}
    # A comma may be part of a folder's name: only one before `name=` parts folders.
    entries = [entry.partition("=") for entry in re.split(r",\s*(?=\w+=)", data)] if data else []
    folders = {name: folder for name, _, folder in entries if folder}
    if strange := [name for name, _, _ in entries if name not in names]:
        raise ValueError(
            f"DATA names {', '.join(strange)}: for {cohort} write " + ",".join(f"{name}=FOLDER" for name in names)
        )
    return folders
