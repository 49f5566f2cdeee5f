"""The benchmark of who votes: the numbers before and after, on a tiny run whose outcome is known by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from miniatures import benchmark
from PIL import Image

from alnet_lib.core.vocabulary import MODULE_1_CLASSES


@pytest.fixture(scope="module")
def who_votes():
    return benchmark("who_votes")


def _cells():
    """Three APL and three AML patients; the promyelocytes of one AML patient are predicted as abnormal ones."""
    rows = []
    for diagnosis in ("APL", "AML"):
        for patient in range(3):
            name, label = f"{diagnosis}{patient}", "abnormal_promyelocyte" if diagnosis == "APL" else "myeloblast"
            predicted = "abnormal_promyelocyte" if diagnosis == "APL" else "blast"
            own = [(label, predicted)] * 2
            if diagnosis == "AML":
                own += [("", "abnormal_promyelocyte" if patient == 0 else "blast")] * 8
            rows += [
                {"patient_id": name, "smear_id": name, "diagnosis": diagnosis, "cell_type": cell_type, "predicted": p}
                for cell_type, p in own
            ]
    cells = pd.DataFrame(rows).assign(split="external", site="b", eligible=True)
    for name in MODULE_1_CLASSES:
        cells[f"p1_{name}"] = cells["predicted"].eq(name).astype(float)
    return cells.drop(columns="predicted").assign(image_id=[f"i{n}" for n in range(len(cells))])


def test_the_numbers_change_by_the_patient_whose_promyelocytes_now_vote(who_votes):
    cells = _cells()
    assert who_votes.left_out(cells).sum() == 24
    rows = {row["number"]: row for row in who_votes.compare(cells, 0.5)}
    vote = next(row for number, row in rows.items() if number.startswith("AUC, vote"))
    # Before: APL 1, AML 0. After: one AML patient has 8 of 10, below all three of APL.
    assert (vote["before"], vote["after"], vote["patients, after"]) == (1, 1, 6)
    verdicts = rows["AML smears with the correct verdict"]
    assert verdicts["before"] == 1 and verdicts["after"] == pytest.approx(2 / 3)
    assert verdicts["verdicts changed"] == 1 and verdicts["smears"] == 3
    assert np.isnan(verdicts["after, low"]), "three patients have no interval"
    assert rows["APL smears with the correct verdict"]["difference"] == 0
    called = rows["AML smears called APL"]
    assert (called["before"], called["after"], called["difference"]) == pytest.approx((0, 1 / 3, 1 / 3))
    assert rows["AML smears without a verdict"]["after"] == 0
    score = next(row for number, row in rows.items() if number.startswith("AML patients, vote"))
    assert (score["before"], score["after"]) == pytest.approx((0, 0.8 / 3)), "8 of 10 cells of one of three patients"


def test_every_rate_that_changes_is_listed_and_no_other(who_votes):
    found = {row["number"]: row for row in who_votes.changed(_cells(), 0.5)}
    assert (found["external.smears.accuracy"]["before"], found["external.smears.accuracy"]["after"]) == pytest.approx(
        (100, 100 * 5 / 6)
    )
    aml = "external.smears.AL non-APL"  # Without module 2.
    assert (found[aml]["before"], found[aml]["after"]) == pytest.approx((100, 100 * 2 / 3))
    assert found["site.b.accuracy"]["patients, after"] == 6
    assert not {"external.smears.APL", "apl.external.vote.auc"} & set(found), "these stay as they are"
    alone = _cells()[lambda cells: cells["diagnosis"].eq("APL") | cells["cell_type"].eq("")]
    only = {row["number"]: row for row in who_votes.changed(alone, 0.5)}["apl.external.vote.auc"]
    assert only["before"] is None and only["after"] == pytest.approx(7.5 / 9)


def test_a_run_and_the_data_give_a_file(who_votes, tmp_path, capsys):
    data = tmp_path / "Data"
    people = [("00", "APL"), ("01", "APL"), ("02", "AML"), ("03", "AML")]
    for number, _ in people:
        for kind in ("Promyelocyte", "Blast, no lineage spec"):
            folder = data / "All" / f"Patient_{number}" / "Signed slides" / kind
            folder.mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "A_1.jpg")
    about = [{"Patient_ID": f"Patient_{n}", "Diagnosis": d, "Cohort": "Discovery"} for n, d in people]
    pd.DataFrame(about).to_csv(data / "master.csv", index=False)
    run = tmp_path / "run"
    (run / "predictions").mkdir(parents=True)
    (run / "provenance.json").write_text(json.dumps({"profile": {"name": "tiny", "threshold": 0.5}}))
    _cells().to_parquet(run / "predictions" / "cells.parquet")
    given = ["--run", str(run), "--data", str(data)]
    who_votes.main(given, results=tmp_path / "who_votes.json")
    found = json.loads((tmp_path / "who_votes.json").read_text())
    assert found["unlabelled cells that vote"] == {"run": 24, "data": 2}
    aml = next(row for row in found["immature cells"] if row["diagnosis"] == "AML")
    assert (aml["before"], aml["after"]) == (2, 4) and "AUC, vote" in capsys.readouterr().out
    _cells().query("cell_type != ''").to_parquet(run / "predictions" / "cells.parquet")
    with pytest.raises(SystemExit, match="earlier adapter"):
        who_votes.main(given, results=tmp_path / "who_votes.json")
