"""Which devices a process takes, out of those that its settings allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dp_assets.config.errors import DeviceError
from dp_assets.networks.device_leases import Lease, lease_devices
from dp_assets.networks.devices import ListedDevice, computing_devices, matching_device


@dataclass(frozen=True)
class Claim:
    """The devices of a process.

    Attributes
    ----------
    visible : what to put into `CUDA_VISIBLE_DEVICES`; () for the CPU, None to leave the choice to the
        framework.
    leases : of those that no other process may take meanwhile.
    """

    visible: tuple[str, ...] | None
    leases: tuple[Lease, ...]


def claim_devices(
    wanted: str,
    names: tuple[str, ...] | None,
    listed: Sequence[ListedDevice],
    allotted: str | None,
    *,
    count: int,
    shared: bool,
    waiting: Callable[[str], None],
) -> Claim:
    """Take `count` devices that no other process has.

    Parameters
    ----------
    wanted : the setting, for messages.
    names : what it means (`choose_devices`).
    listed : what the driver lists. A device that is not listed is used without a lease.
    allotted : `CUDA_VISIBLE_DEVICES` as a scheduler has set it; None when it is not set.
    shared : take the first ones, whoever else has them.
    waiting : called with a message while other processes have them.

    Raises
    ------
    DeviceError : there are fewer than `count`, or it cannot be found out which are free.
    """
    if names == ():
        return Claim((), ())
    if names is None:
        there = computing_devices(listed, allotted)
        if not there:
            return Claim(None, ())
        known: dict[ListedDevice, str] = {device: device.uuid for device in there}
    else:
        known = {device: name for name in names if (device := matching_device(name, listed)) is not None}
        if not known and len(names) >= count:
            return Claim(names[:count], ())
    if len(known) < count:
        raise too_few(wanted, count, [str(device) for device in known] or list(names or ()))
    if shared:
        return Claim(tuple(known.values())[:count], ())
    leases = lease_devices(list(known), count, waiting)
    return Claim(tuple(known[device] for device, _ in leases), leases)


def too_few(wanted: str, count: int, there: Sequence[str]) -> DeviceError:
    """The error of a training that asks for more devices than it can have."""
    return DeviceError(
        f"{count} devices are asked for; there are {len(there)}: {'; '.join(there)}",
        where=f"train.model.devices: {count}, devices: {wanted!r}",
        remedy='ask for fewer devices, allow more of them, or use "cpu", which stands in for any number',
    )
