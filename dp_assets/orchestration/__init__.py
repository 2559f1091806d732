"""Dagster only: assets, checks, IO managers, resources, partitions, jobs. The work is done in the rooms below."""
