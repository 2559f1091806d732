"""Dagster only: assets, checks, IO managers, resources, partitions, jobs. Work is done in the rooms below."""
