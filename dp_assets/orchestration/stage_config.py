"""Run configuration that every computing asset understands."""

import dagster as dg


class StageConfig(dg.Config):
    """What may be changed for one run of a stage.

    Attributes
    ----------
    force : compute again even when nothing it depends on has changed.
    """

    force: bool = False
