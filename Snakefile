# The order of the work: one rule a notebook, and one for a unit of the comparison. `alnet reproduce` calls this.
import shutil
import sys

from alnet_lib import pipeline

UNITS = pipeline.units(cohort=config["cohort"], profile=config["profile"])
GPUS = 1 if shutil.which("nvidia-smi") else 0
NOTEBOOK = f'"{sys.executable}" -m alnet_lib.execute --notebook {{log}} --parameters parameters.yaml'


def depends_on(notebook):
    return pipeline.fingerprint(
        notebook, cohort=config["cohort"], profile=config["profile"], data=config.get("data") or ""
    )


rule all:
    input: "report/index.html"


rule data_audit:
    output: pipeline.outputs("01_data_audit")
    log: "notebooks/01_data_audit.ipynb"
    params: fingerprint=depends_on("01_data_audit")
    threads: workflow.cores
    shell: NOTEBOOK


rule comparison_unit:
    input: pipeline.marker("01_data_audit")
    output: "comparison/{backbone}-{evaluation}.json"
    wildcard_constraints: evaluation=r"hold-out|fold-\d+"
    params: fingerprint=depends_on("02_backbone_comparison")
    resources: gpu=GPUS
    shell: f'"{sys.executable}" -m alnet_lib.units --parameters parameters.yaml '
           "--threads {threads} --unit {wildcards.backbone}/{wildcards.evaluation}"


rule backbone_comparison:
    input:
        pipeline.marker("01_data_audit"),
        UNITS,
    output: pipeline.outputs("02_backbone_comparison")
    log: "notebooks/02_backbone_comparison.ipynb"
    params: fingerprint=depends_on("02_backbone_comparison")
    threads: workflow.cores
    resources: gpu=1
    shell: NOTEBOOK


rule alnet_training:
    input: pipeline.marker("01_data_audit")
    output: pipeline.outputs("03_alnet_training")
    log: "notebooks/03_alnet_training.ipynb"
    params: fingerprint=depends_on("03_alnet_training")
    threads: workflow.cores
    resources: gpu=1
    shell: NOTEBOOK


rule smear_roc:
    input: pipeline.marker("03_alnet_training")
    output: pipeline.outputs("04_smear_roc")
    log: "notebooks/04_smear_roc.ipynb"
    params: fingerprint=depends_on("04_smear_roc")
    shell: NOTEBOOK


rule external_validation:
    input: pipeline.marker("03_alnet_training")
    output: pipeline.outputs("05_external_validation")
    log: "notebooks/05_external_validation.ipynb"
    params: fingerprint=depends_on("05_external_validation")
    threads: workflow.cores
    resources: gpu=1
    shell: NOTEBOOK


rule feature_maps:
    input: pipeline.marker("03_alnet_training")
    output: pipeline.outputs("06_feature_maps")
    log: "notebooks/06_feature_maps.ipynb"
    params: fingerprint=depends_on("06_feature_maps")
    shell: NOTEBOOK


rule scorecard:
    input:
        [pipeline.marker(name) for name in pipeline.RULES if name != "07_scorecard"],
    output: pipeline.outputs("07_scorecard")
    log: "notebooks/07_scorecard.ipynb"
    params: fingerprint=depends_on("07_scorecard")
    shell: NOTEBOOK


rule report:
    input: [pipeline.marker(name) for name in pipeline.RULES]
    output: "report/index.html"
    params: prose=pipeline.prose_hash()
    shell: f'"{sys.executable}" -m alnet_lib.report .'
