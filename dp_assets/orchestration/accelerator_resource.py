"""The compute device as a resource, applied before TensorFlow is imported."""

from typing import Literal

import dagster as dg


class AcceleratorResource(dg.ConfigurableResource):
    """Which devices a run computes on, and how.

    Attributes
    ----------
    devices : "auto" (all GPUs, else the CPU), "cpu", indices ("0" or "0,1") or UUIDs ("GPU-...", "MIG-...").
    memory_growth : take GPU memory as it is needed instead of all at once.
    precision : arithmetic of networks that are trained or applied.
    xla : compile networks with XLA.
    deterministic : the same numbers in every run, slower on GPUs.
    """

    devices: str = "auto"
    memory_growth: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    deterministic: bool = False

    def apply(self, log: dg.DagsterLogManager) -> None:
        """Configure the devices once for this process and log what they are.

        Raises
        ------
        DeviceError : the device does not exist, or TensorFlow was set up differently in this process before.
        """
        from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator

        report = configure_accelerator(
            AcceleratorSettings(
                devices=self.devices,
                memory_growth=self.memory_growth,
                precision=self.precision,
                xla=self.xla,
                deterministic=self.deterministic,
            )
        )
        log.info(report.message)
