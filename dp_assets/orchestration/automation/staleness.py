"""Which results of a plate do not fit what they were made from any more, by data and code versions."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContext

AssetGraph = Any  # Dagster has no public name for it


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
    """The marks that the Dagster UI shows, as they are now."""

    def __init__(self, instance: DagsterInstance, graph: AssetGraph) -> None:
        self._graph = graph
        self._resolver = CachingStaleStatusResolver(instance, graph, _Loading(instance))

    def reasons(self, key: dg.AssetKey, plate: str | None) -> tuple[str, ...]:
        """Why a result is stale; empty when it is current, or missing."""
        return tuple(
            cause.reason
            + (f" ({cause.dependency.asset_key.to_user_string()})" if cause.dependency is not None else "")
            for cause in self._resolver.get_stale_causes(key, plate)
        )

    def is_missing(self, key: dg.AssetKey, plate: str | None) -> bool:
        """Whether there is no result."""
        return self._resolver.get_status(key, plate) == StaleStatus.MISSING

    def stale(
        self, keys: Iterable[dg.AssetKey], plate: str | None, changed: Sequence[dg.AssetKey] = ()
    ) -> dict[dg.AssetKey, tuple[str, ...]]:
        """Of some assets those that are stale, and what is made of these; asset -> why.

        Missing results are left out: they are no older than anything.

        Parameters
        ----------
        keys : assets in any order.
        plate : of all of them; None for assets without partitions.
        changed : assets among them that will change although nothing says so yet.
        """
        wanted = set(keys)
        found: dict[dg.AssetKey, tuple[str, ...]] = {}
        for key in self._graph.toposorted_asset_keys:
            if key not in wanted or self.is_missing(key, plate):
                continue
            reasons = self.reasons(key, plate)
            parents = [parent for parent in self._graph.get(key).parent_keys if parent in found]
            if key in changed:
                found[key] = ("its files have changed",)
            elif reasons:
                found[key] = reasons
            elif parents:
                found[key] = (f"made of {', '.join(sorted(p.to_user_string() for p in parents))}",)
        return found
