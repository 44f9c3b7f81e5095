import subprocess

import pytest

from decouple.claim import device
from decouple.claim.device import device_class, gpu_name, machine


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu_name.cache_clear()
    yield
    gpu_name.cache_clear()


def driver_says(monkeypatch, answer):
    def run(command, **_):
        assert command[0] == "/bin/nvidia-smi"
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(command, 0, stdout=answer)

    monkeypatch.setattr(device.shutil, "which", lambda _: "/bin/nvidia-smi")
    monkeypatch.setattr(device.subprocess, "run", run)


def test_the_first_gpu_is_the_device_class(monkeypatch):
    driver_says(monkeypatch, "NVIDIA H200 \nNVIDIA T4\n")
    assert device_class("cuda") == "NVIDIA H200"
    assert device_class("cpu") == "cpu"


@pytest.mark.parametrize(
    "answer",
    ["", OSError("gone"), subprocess.TimeoutExpired("nvidia-smi", 30)],
    ids=["none", "broken", "slow"],
)
def test_a_driver_without_an_answer_means_no_gpu(monkeypatch, answer):
    driver_says(monkeypatch, answer)
    assert device_class("cuda") is None


@pytest.mark.parametrize(
    ("visible", "name"), [("1,0", "NVIDIA T4"), ("0", "NVIDIA H200"), ("MIG-5c", "NVIDIA H200")]
)
def test_of_several_gpus_the_first_visible_one_counts(monkeypatch, visible, name):
    names = ["NVIDIA H200", "NVIDIA T4"]

    def run(command, **_):
        *_, last = command
        if not last.startswith("--id="):
            return subprocess.CompletedProcess(command, 0, stdout="\n".join(names))
        index = last.removeprefix("--id=")
        if not index.isdigit():
            raise subprocess.CalledProcessError(6, command)
        return subprocess.CompletedProcess(command, 0, stdout=names[int(index)])

    monkeypatch.setattr(device.shutil, "which", lambda _: "/bin/nvidia-smi")
    monkeypatch.setattr(device.subprocess, "run", run)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_class("cuda") == name


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_was_hidden_is_not_there(monkeypatch, hidden):
    driver_says(monkeypatch, "NVIDIA H200\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device_class("cuda") is None


def test_without_the_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda _: None)
    assert device_class("cuda") is None


def test_the_machine_is_told_in_words():
    assert machine().keys() == {"python", "system", "architecture", "processor", "cores"}
    assert all(machine().values())
