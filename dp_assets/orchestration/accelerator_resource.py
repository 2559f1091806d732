"""The compute device as a resource, applied before TensorFlow is imported."""

from collections.abc import Mapping
from typing import Literal

import dagster as dg

DEVICES_TAG = "dp/devices"
COMPUTED_ON_TAG = "dp/computed_on"
DEVICES_METADATA = "devices"


class AcceleratorResource(dg.ConfigurableResource):
    """Which devices a run computes on, and how.

    Attributes
    ----------
    devices : "auto" (free ones of all GPUs, else the CPU), "cpu", indices ("0" or "0,1") or UUIDs ("GPU-...",
        "MIG-..."). The tag `dp/devices` of a run goes before it.
    shared : do not wait for a free device: compute on the first, whoever else does.
    memory_growth : take GPU memory as it is needed instead of all at once.
    precision : arithmetic of networks that are trained or applied.
    xla : compile networks with XLA.
    deterministic : the same numbers in every run, slower on GPUs.
    """

    devices: str = "auto"
    shared: bool = False
    memory_growth: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    deterministic: bool = False

    def apply(self, context: dg.AssetExecutionContext) -> None:
        """Take the devices once for this process, log what they are and tag the run with them.

        Raises
        ------
        DeviceError : the tag names no device, the device does not exist, or TensorFlow was set up
            differently in this process before.
        """
        from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator

        report = configure_accelerator(
            AcceleratorSettings(
                devices=_tagged(context.run.tags) or self.devices,
                count=most_devices(context),
                shared=self.shared,
                memory_growth=self.memory_growth,
                precision=self.precision,
                xla=self.xla,
                deterministic=self.deterministic,
            ),
            warn=context.log.warning,
        )
        context.log.info(report.message)
        context.instance.add_run_tags(context.run.run_id, {COMPUTED_ON_TAG: ", ".join(report.devices)})


def _tagged(tags: Mapping[str, str]) -> str | None:
    """The devices that the tag of a run asks for; None without the tag."""
    from dp_assets.networks.devices import device_names

    if DEVICES_TAG not in tags:
        return None
    wanted = tags[DEVICES_TAG].strip()
    if wanted not in ("auto", "cpu"):
        device_names(wanted, where=f"tag {DEVICES_TAG}: {wanted!r}")
    return wanted


def most_devices(context: dg.AssetExecutionContext) -> int:
    """The most devices that a training of this run asks for; a process takes them once, for all of it."""
    layer = context.job_def.asset_layer
    asked = [
        layer.asset_graph.get(key).metadata.get(DEVICES_METADATA, 1) for key in layer.selected_asset_keys
    ]
    return max([1, *(int(getattr(number, "value", number)) for number in asked)])
