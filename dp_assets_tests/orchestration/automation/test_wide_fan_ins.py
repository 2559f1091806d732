"""A result made of a hundred plates or more is stale when one of them is, though Dagster does not say so."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster import DagsterInstance

from dp_assets.orchestration.automation import wide_fan_ins
from dp_assets.orchestration.automation.staleness import Staleness
from dp_assets.orchestration.partitions import plates
from dp_assets_tests.orchestration.automation.records import key, made

NAMES = [f"P{number:03}" for number in range(100)]


@dg.asset(partitions_def=plates)
def per_plate() -> None:
    """Reported, never run."""


@dg.asset(ins={"per_plate": dg.AssetIn(metadata={}, dagster_type=dg.Nothing)}, code_version="1")
def of_all() -> dg.MaterializeResult:
    return dg.MaterializeResult(data_version=dg.DataVersion("all"))


DEFINITIONS = dg.Definitions(assets=[per_plate, of_all])


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made_here:
        made_here.add_dynamic_partitions("plates", NAMES)
        made(made_here, "per_plate", *NAMES)
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=made_here, asset_selection=[key("of_all")]).success
        yield made_here


def reasons(instance: DagsterInstance) -> tuple[str, ...]:
    graph = DEFINITIONS.get_repository_def().asset_graph
    return Staleness(instance, graph).reasons(key("of_all"), None)


def test_what_was_made_before_any_plate_was_there() -> None:
    with DagsterInstance.ephemeral() as fresh:
        fresh.add_dynamic_partitions("plates", NAMES)
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=fresh, asset_selection=[key("of_all")]).success
        assert reasons(fresh) == ()
        made(fresh, "per_plate", *NAMES)
        assert reasons(fresh) == ("has a new dependency data version (per_plate of P000, P001, P002, ...)",)


def test_more_events_than_are_read_at_once(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide_fan_ins, "PAGE", 7)
    monkeypatch.setattr(wide_fan_ins, "PLATES_ASKED_FOR", 9)
    made(instance, "per_plate", *NAMES[:40])
    assert reasons(instance) == ()
    made(instance, "per_plate", "P042", version="2")
    assert reasons(instance) == ("has a new dependency data version (per_plate of P042)",)


def test_nothing_has_changed(instance: DagsterInstance) -> None:
    assert reasons(instance) == ()


def test_plates_made_again_as_they_were_change_nothing(instance: DagsterInstance) -> None:
    made(instance, "per_plate", *NAMES[:40])
    assert reasons(instance) == ()


def test_one_plate_has_changed(instance: DagsterInstance) -> None:
    made(instance, "per_plate", "P042", version="2")
    assert reasons(instance) == ("has a new dependency data version (per_plate of P042)",)


def test_a_plate_that_is_again_what_it_was_has_not_changed(instance: DagsterInstance) -> None:
    made(instance, "per_plate", "P042", version="2")
    made(instance, "per_plate", "P042", version="1")
    assert reasons(instance) == ()


def test_a_new_plate_and_many_changes(instance: DagsterInstance) -> None:
    instance.add_dynamic_partitions("plates", ["Q1"])
    made(instance, "per_plate", "Q1")
    made(instance, "per_plate", *NAMES[10:13], version="2")
    assert reasons(instance) == ("has a new dependency data version (per_plate of P010, P011, P012, ...)",)


def test_it_is_current_again_once_it_is_made_again(instance: DagsterInstance) -> None:
    made(instance, "per_plate", "P042", version="2")
    job = DEFINITIONS.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[key("of_all")]).success
    assert reasons(instance) == ()
