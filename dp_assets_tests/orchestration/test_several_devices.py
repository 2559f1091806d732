"""Places in the pool `gpu`, and the tags that choose and name the devices of a run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance

from dp_assets.networks import accelerator
from dp_assets.networks.accelerator import AcceleratorReport, AcceleratorSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
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


def test_hidden_devices_get_no_place(
    driver: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_devices(driver, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert give_each_device_a_place(instance) == 1


def run_with(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, devices: int | None = None
) -> tuple[AcceleratorSettings | None, dict[str, str], str]:
    """Apply the resource in a run of an asset; what was asked for, the tags after it, and the failure."""
    asked: list[AcceleratorSettings] = []

    def configure(settings: AcceleratorSettings, waiting: Any) -> AcceleratorReport:
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
