"""Precision and CUDA's settings are resolved for the device at hand, set in the process and told."""

import json

import pytest
import torch

from alnet_lib.core.profile import Profile
from alnet_lib.experiments import preparation
from alnet_lib.experiments.preparation import Setup
from alnet_lib.training import device
from alnet_lib.workflow import provenance
from alnet_lib.workflow.run import Run


@pytest.fixture
def cuda_flags():
    """Give torch's flags back as they were."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic
    yield matmul, cudnn
    matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({}, "float32"),
    ],
)
def test_a_processor_computes_in_bf16_only_with_instructions_for_it(monkeypatch, own, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: own)
    assert device.resolve_precision("auto", "cpu") == expected
    assert [device.resolve_precision(asked, "cpu") for asked in ("bf16", "float32")] == ["bf16", "float32"]


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "float32")])
def test_a_gpu_computes_in_bf16_only_where_it_is_not_emulated(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert device.resolve_precision("auto", "cuda") == expected


def test_trainings_have_the_resolved_precision_and_keys_do_not_tell_auto_from_it(setup_of, monkeypatch):
    for own, expected in (({"avx512_bf16": True}, "bf16"), ({}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda own=own: own)
        auto, named = (setup_of(precision) for precision in ("auto", expected))
        assert auto.precision == named.precision == expected
        assert options(auto) == options(named) and options(auto).precision == expected


@pytest.fixture
def setup_of(tmp_path):
    profile = Profile.load("smoke")
    return lambda precision: Setup(None, profile.model_copy(update={"precision": precision}), tmp_path)


def options(setup):
    return preparation.options(setup, setup.profile.module_1, name="module_1")


def test_the_profiles_leave_the_precision_to_the_device():
    assert {Profile.load(name).precision for name in ("smoke", "quick", "paper")} == {"auto"}


def test_cuda_computes_float32_in_tf32_and_says_so(cuda_flags):
    matmul, cudnn = cuda_flags
    matmul.fp32_precision, cudnn.benchmark, cudnn.deterministic = "ieee", False, True
    assert device.use_tensor_cores("cuda") == {"tf32": True, "cudnn_benchmark": True, "cudnn_deterministic": False}
    assert (matmul.fp32_precision, cudnn.conv.fp32_precision) == ("tf32", "tf32")
    assert cudnn.benchmark and not cudnn.deterministic


def test_on_the_cpu_nothing_is_set(cuda_flags):
    matmul, cudnn = cuda_flags
    matmul.fp32_precision, cudnn.benchmark = "ieee", False
    assert device.use_tensor_cores("cpu") == {}
    assert matmul.fp32_precision == "ieee" and not cudnn.benchmark


def test_a_run_records_the_resolved_precision_and_cudas_settings(twin, tmp_path, monkeypatch, cuda_flags):
    run = Run.open("01_data_audit", profile="smoke", run_dir=str(tmp_path))
    for where, settings in (("cuda", {"tf32", "cudnn_benchmark", "cudnn_deterministic"}), ("cpu", set())):
        monkeypatch.setattr(device, "resolve_device", lambda _, where=where: where)
        monkeypatch.setattr(device, "resolve_precision", lambda asked, where: f"{asked} on {where}")
        run.begin(twin)
        about = json.loads((tmp_path / "provenance.json").read_text())
        assert about["precision"] == f"auto on {where}" and about["cuda"].keys() == settings
        assert about["profile"]["precision"] == "auto"


def test_a_setup_sets_them_for_the_process(tmp_path, monkeypatch, cuda_flags):
    run = Run.open("02_backbone_comparison", profile="smoke", run_dir=str(tmp_path))
    monkeypatch.setattr(Run, "images", lambda _: None)
    monkeypatch.setattr(Run, "device", "cuda")
    threads, torch.backends.cudnn.benchmark = torch.get_num_threads(), False
    run.setup()
    torch.set_num_threads(threads)
    assert torch.backends.cudnn.benchmark and torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_a_record_without_cuda_has_no_settings():
    about = provenance.provenance(profile={}, cohort={}, device="cpu", precision="float32", seed=1)
    assert about["cuda"] == {}
