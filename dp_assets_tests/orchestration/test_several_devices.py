"""Places in the pool `gpu`, and the tags that choose and name the devices of a run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance

from dp_assets.cli import main
from dp_assets.example.tiny import write_tiny_project
from dp_assets.networks import accelerator
from dp_assets.networks.accelerator import AcceleratorReport, AcceleratorSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.doctor import examine
from dp_assets.orchestration.gpu_pool import give_each_device_a_place


def list_devices(folder: Path, count: int) -> None:
    """Write a program that lists so many graphics processors, as the driver's own does."""
    lines = "".join(f"echo 'GPU {n}: Tesla T4 (UUID: GPU-{n}{n}{n}{n})'\n" for n in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}")
    (folder / "nvidia-smi").chmod(0o755)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `nvidia-smi` comes first."""
    folder = tmp_path / "driver"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance on disk whose pools have one place."""
    home = tmp_path / "home"
    home.mkdir()
    settings = {"concurrency": {"pools": {"default_limit": 1}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with DagsterInstance.from_config(str(home)) as made:
        yield made


def places(instance: DagsterInstance) -> int | None:
    """Limit of the pool; None for the default."""
    limits = instance.event_log_storage.get_pool_limits()
    return next((pool.limit for pool in limits if pool.name == "gpu" and not pool.from_default), None)


def test_the_pool_follows_the_devices_until_somebody_sets_it(driver: Path, instance: DagsterInstance) -> None:
    list_devices(driver, 0)
    assert give_each_device_a_place(instance) is None
    assert places(instance) is None
    list_devices(driver, 2)
    assert give_each_device_a_place(instance) == 2
    assert give_each_device_a_place(instance) is None
    assert places(instance) == 2
    list_devices(driver, 3)
    assert give_each_device_a_place(instance) == places(instance) == 3

    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert give_each_device_a_place(instance) is None
    assert places(instance) == 1


def test_a_limit_set_before_stays(driver: Path, instance: DagsterInstance) -> None:
    list_devices(driver, 2)
    instance.event_log_storage.set_concurrency_slots("gpu", 5)
    assert give_each_device_a_place(instance) is None
    assert places(instance) == 5


def test_devices_hidden_from_a_command_get_a_place_all_the_same(
    driver: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_devices(driver, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert give_each_device_a_place(instance) == 2


@pytest.mark.parametrize("hidden_from_command", [True, False])
def test_who_serves_the_instance_sets_the_limit_as_long_as_it_lives(
    driver: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, hidden_from_command: bool
) -> None:
    """The services see two of three devices; a command in another shell sees one of them, or all."""
    list_devices(driver, 3)
    code = (
        "import sys\nfrom dagster import DagsterInstance\n"
        "from dp_assets.orchestration.gpu_pool import give_each_device_a_place\n"
        "with DagsterInstance.from_config(sys.argv[1]) as instance:\n"
        "    print(give_each_device_a_place(instance, serving=True), flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, instance.root_directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0,2"},
    ) as services:
        assert services.stdout is not None
        assert services.stdout.readline() == "2\n"
        if hidden_from_command:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        assert give_each_device_a_place(instance) is None
        assert places(instance) == 2
        services.kill()
    assert give_each_device_a_place(instance) == places(instance) == 3


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'could not talk to the driver'; exit 9", "failed (exit code 9) and said: could not talk"),
        ("echo 'Segmentation fault' >&2; exit 1", "failed (exit code 1) and said: Segmentation fault"),
        ("echo 'hello'", "gave no list of devices but said: hello"),
        ("exec sleep 60", "does not answer within 0.5 s"),
    ],
)
def test_a_driver_that_fails_is_named_by_commands_and_the_doctor(
    driver: Path,
    instance: DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str,
    said: str,
) -> None:
    monkeypatch.setattr("dp_assets.networks.devices.LISTING_SECONDS", 0.5)
    (driver / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (driver / "nvidia-smi").chmod(0o755)
    assert give_each_device_a_place(instance) is None
    assert places(instance) is None
    (told,) = caplog.messages
    assert said in told
    assert "nvidia-smi -L" in told
    write_tiny_project(tmp_path / "p")
    (device,) = [part for part in examine(tmp_path / "p") if part.name == "compute device"]
    assert device.summary == "no GPU is known"
    assert said in device.warnings[0].what
    shown = CliRunner().invoke(main, ["worker", "--queue", "gpu", "--project", str(tmp_path / "p")])
    assert said in " ".join(shown.output.split())


@pytest.mark.parametrize("script", ["echo 'No devices were found'; exit 6", "exit 0", None])
def test_a_machine_without_gpu_is_no_failure(
    driver: Path,
    instance: DagsterInstance,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
) -> None:
    if script is None:
        monkeypatch.setenv("PATH", str(driver))
    else:
        (driver / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (driver / "nvidia-smi").chmod(0o755)
    assert give_each_device_a_place(instance) is None
    assert caplog.messages == []


def run_with(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, devices: int | None = None
) -> tuple[AcceleratorSettings | None, dict[str, str], str]:
    """Apply the resource in a run of an asset; what was asked for, the tags after it, and the failure."""
    asked: list[AcceleratorSettings] = []

    def configure(settings: AcceleratorSettings, warn: Any) -> AcceleratorReport:
        asked.append(settings)
        return AcceleratorReport(("0: T4 (GPU-0000)", "1: T4 (GPU-1111)"), "computes on two")

    monkeypatch.setattr(accelerator, "configure_accelerator", configure)

    @dg.asset(metadata={"devices": devices} if devices else None)
    def model(context: dg.AssetExecutionContext, accelerator: AcceleratorResource) -> None:
        accelerator.apply(context)

    with DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [model],
            resources={"accelerator": AcceleratorResource(devices="cpu")},
            instance=instance,
            tags=tags,
            raise_on_error=False,
        )
        record = instance.get_run_by_id(done.run_id)
        assert record is not None
        failures = [str(event.step_failure_data.error) for event in done.all_events if event.is_step_failure]
        return (asked[0] if asked else None), dict(record.tags), "".join(failures)


def test_a_run_says_what_it_computed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, tags, failure = run_with({}, monkeypatch)
    assert (asked, failure) == (AcceleratorSettings(devices="cpu"), "")
    assert tags["dp/computed_on"] == "0: T4 (GPU-0000), 1: T4 (GPU-1111)"


def test_the_tag_goes_before_the_resource_and_the_training_says_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, _, failure = run_with({"dp/devices": " 0,1 "}, monkeypatch, devices=2)
    assert (asked, failure) == (AcceleratorSettings(devices="0,1", count=2), "")


@pytest.mark.parametrize("tag", ["", "first", "0,,1"])
def test_a_tag_that_is_no_device_is_named(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, tags, failure = run_with({"dp/devices": tag}, monkeypatch)
    assert asked is None
    assert "dp/devices" in failure
    assert "is no device" in failure
    assert "dp/computed_on" not in tags
