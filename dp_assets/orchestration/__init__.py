"""Dagster only: assets, checks, IO managers, resources, partitions, jobs. The work itself is done in the rooms below."""
