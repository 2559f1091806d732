"""Which results of a plate do not fit what they were made from any more, by data and code versions."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCauseCategory,
    StaleStatus,
)
from dagster._core.loader import LoadingContext

from dp_assets.orchestration.automation.wide_fan_ins import changed_plates, is_wide
from dp_assets.orchestration.partitions import PLATES

AssetGraph = Any  # Dagster has no public name for it
SHOWN = 3


class _Loading(LoadingContext):
    """What Dagster's resolver keeps its records in while it works."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict = {}

    @property
    def instance(self) -> DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict:
        return self._loaders


class Staleness:
    """The marks that the Dagster UI shows, as they are now; and those it cannot show (`wide_fan_ins`)."""

    def __init__(self, instance: DagsterInstance, graph: AssetGraph) -> None:
        self._instance = instance
        self._graph = graph
        self._resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))
        self._wide: dict[dg.AssetKey, tuple[str, ...]] = {}

    def reasons(self, key: dg.AssetKey, plate: str | None) -> tuple[str, ...]:
        """Why a result is stale; empty when it is current, or missing."""
        shown = tuple(
            cause.reason
            + (f" ({cause.dependency.asset_key.to_user_string()})" if cause.dependency is not None else "")
            for cause in self._resolver.get_stale_causes(key, plate)
        )
        return shown or (() if plate is not None or self.is_missing(key, None) else self._wide_reasons(key))

    def _wide_reasons(self, key: dg.AssetKey) -> tuple[str, ...]:
        """What has changed of parents with so many plates that Dagster does not look at them."""
        if key not in self._wide:
            self._wide[key] = self._find_wide_reasons(key)
        return self._wide[key]

    def _find_wide_reasons(self, key: dg.AssetKey) -> tuple[str, ...]:
        found = []
        by_plate = [parent for parent in self.parents(key) if self._graph.get(parent).is_partitioned]
        if by_plate and is_wide(len(self._instance.get_dynamic_partitions(PLATES))):
            for parent in by_plate:
                changed = changed_plates(self._instance, key, parent)
                if changed:
                    shown = ", ".join(changed[:SHOWN]) + (", ..." if len(changed) > SHOWN else "")
                    found.append(f"has a new dependency data version ({parent.to_user_string()} of {shown})")
        return tuple(found)

    def is_missing(self, key: dg.AssetKey, plate: str | None) -> bool:
        """Whether there is no result."""
        return self._resolver.get_status(key, plate) == StaleStatus.MISSING

    def code_has_changed(self, key: dg.AssetKey, plate: str | None) -> bool:
        """Whether a result was made with other settings, or by another version of this program."""
        causes = self._resolver.get_stale_causes(key, plate)
        return any(cause.category == StaleCauseCategory.CODE for cause in causes)

    def in_order(self, keys: Iterable[dg.AssetKey]) -> list[dg.AssetKey]:
        """Some assets, each after those that it is made of."""
        wanted = set(keys)
        return [key for key in self._graph.toposorted_asset_keys if key in wanted]

    def parents(self, key: dg.AssetKey) -> list[dg.AssetKey]:
        """What an asset is made of."""
        return sorted(self._graph.get(key).parent_keys)

    def stale(self, keys: Iterable[dg.AssetKey], plate: str | None) -> dict[dg.AssetKey, tuple[str, ...]]:
        """Of some assets those that are stale, and what is made of these; asset -> why.

        Missing results are left out: they are no older than anything.

        Parameters
        ----------
        keys : assets in any order.
        plate : of all of them; None for assets without partitions.
        """
        found: dict[dg.AssetKey, tuple[str, ...]] = {}
        for key in self.in_order(keys):
            if self.is_missing(key, plate):
                continue
            reasons = self.reasons(key, plate)
            parents = [parent.to_user_string() for parent in self.parents(key) if parent in found]
            if reasons or parents:
                found[key] = reasons or (f"made of {', '.join(parents)}",)
        return found
