"""Which graphics processors there are, and which of them a setting means. No TensorFlow, no Keras."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from dp_assets.config.errors import DeviceError, Problem

PROGRAM = "nvidia-smi"
LISTING_SECONDS = 20
_NONE_FOUND = "no devices"
_SHOWN = 200
_LISTED = re.compile(r"^(\s*)(?:GPU|MIG)\s+(.*?)\s*\(UUID:\s*([^)]+)\)\s*$")
_GPU_NUMBER = re.compile(r"^(\d+):\s*(.*)$")
_WANTED = re.compile(r"^(\d+|GPU-[0-9A-Za-z-]+|MIG-[0-9A-Za-z/-]+)$")


@dataclass(frozen=True)
class ListedDevice:
    """A graphics processor, or a part of one (MIG), as the driver lists it.

    Attributes
    ----------
    number : the driver's number; None for a part, which is only known by its identifier.
    name : model name, or the profile of the part ("1g.18gb").
    uuid : identifier, "GPU-..." or "MIG-...".
    """

    number: int | None
    name: str
    uuid: str

    def __str__(self) -> str:
        number = "" if self.number is None else f"{self.number}: "
        return f"{number}{self.name} ({self.uuid})"


@dataclass(frozen=True)
class DeviceListing:
    """What the driver says of the graphics processors of this machine.

    Attributes
    ----------
    devices : those it lists.
    problem : why there may be others: its program is installed and does not do its work. None where it does,
        and where it is not installed.
    """

    devices: tuple[ListedDevice, ...] = ()
    problem: Problem | None = None


def list_devices() -> DeviceListing:
    """The graphics processors that `nvidia-smi -L` lists, and what is wrong where it fails."""
    program = shutil.which(PROGRAM)
    if program is None:
        return DeviceListing()
    try:
        answer = subprocess.run(
            [program, "-L"],
            capture_output=True,
            text=True,
            timeout=LISTING_SECONDS,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return DeviceListing(problem=_failing(program, f"does not answer within {LISTING_SECONDS} s"))
    except OSError as error:
        return DeviceListing(problem=_failing(program, f"cannot be started ({error.strerror or error})"))
    devices = parse_listing(answer.stdout)
    said = f"{answer.stdout}\n{answer.stderr}".strip()
    if not devices and said.lower().startswith(_NONE_FOUND):
        return DeviceListing()
    first = said.splitlines()[0][:_SHOWN] if said else "nothing"
    if answer.returncode != 0:
        how = f"failed (exit code {answer.returncode}) and said: {first}"
        return DeviceListing(devices, _failing(program, how, len(devices)))
    if not devices and said:
        return DeviceListing(problem=_failing(program, f"gave no list of devices but said: {first}"))
    return DeviceListing(devices)


def _failing(program: str, how: str, listed: int = 0) -> Problem:
    remedy = (
        f"run `{PROGRAM} -L` in a shell and mend what it says (after an update of the driver: restart the "
        "machine)"
    )
    if listed:
        return Problem(
            f"{PROGRAM} lists {listed} GPUs, but {how}; so there may be others",
            program,
            f"{remedy}. Until then runs use those that are listed",
        )
    return Problem(
        f"{PROGRAM} is installed, but {how}; so it is not known which GPUs there are",
        program,
        f"{remedy}. Until then runs compute on the CPU, unless their framework finds a GPU by itself, "
        "which other processes are then not kept off",
    )


def parse_listing(text: str) -> tuple[ListedDevice, ...]:
    """Devices from the text of `nvidia-smi -L`: "GPU 0: NAME (UUID: GPU-...)", parts of it indented below."""
    devices = []
    for line in text.splitlines():
        match = _LISTED.match(line)
        if match is None:
            continue
        _, title, uuid = match.groups()
        gpu = _GPU_NUMBER.match(title)
        if gpu is not None:
            devices.append(ListedDevice(int(gpu[1]), gpu[2], uuid))
        else:
            devices.append(ListedDevice(None, re.sub(r"\s+Device.*$", "", title), uuid))
    return tuple(devices)


def choose_devices(
    wanted: str, listed: Sequence[ListedDevice], allotted: str | None
) -> tuple[str, ...] | None:
    """The devices that a setting means.

    Parameters
    ----------
    wanted : "auto", "cpu", or numbers and identifiers separated by commas ("0,1", "GPU-...", "MIG-...").
    listed : what the driver lists; empty when it lists nothing, and then nothing can be checked here.
    allotted : `CUDA_VISIBLE_DEVICES` as a scheduler has set it; None when it is not set.

    Returns
    -------
    None for "auto", () for "cpu", else what to put into `CUDA_VISIBLE_DEVICES`.

    Raises
    ------
    DeviceError : the setting is not understood, names a device that does not exist, or one that a scheduler
        has not given to this process.
    """
    if wanted == "auto":
        return None
    if wanted == "cpu":
        return ()
    names = device_names(wanted)
    for name in names:
        if listed and not matching_device(name, listed):
            raise _missing(name, wanted, listed)
        if allotted is not None and not _is_allotted(name, listed, allotted):
            raise DeviceError(
                f"device {name} is not among those given to this process (CUDA_VISIBLE_DEVICES={allotted!r})",
                where=f"devices: {wanted!r}",
                remedy='use "auto", or one of those; or change what the scheduler gives to the job',
            )
    return names


def device_names(wanted: str, where: str | None = None) -> tuple[str, ...]:
    """The parts of a setting that names devices; whether they exist is not looked at.

    Parameters
    ----------
    where : what messages call the setting.

    Raises
    ------
    DeviceError : a part is neither a number nor an identifier.
    """
    names = tuple(part.strip() for part in wanted.split(","))
    for name in names:
        if not _WANTED.match(name):
            raise DeviceError(
                f"{name!r} is no device",
                where=where or f"devices: {wanted!r}",
                remedy='use "auto", "cpu", numbers ("0,1"), or an identifier ("GPU-...", "MIG-...")',
            )
    return names


def computing_devices(listed: Sequence[ListedDevice], allotted: str | None) -> tuple[ListedDevice, ...]:
    """The devices that a process can compute on, each of which is enough for one.

    Parameters
    ----------
    listed : what the driver lists.
    allotted : `CUDA_VISIBLE_DEVICES` as a scheduler has set it; None when it is not set.

    Returns
    -------
    Of a processor that is divided (MIG) its parts, not the processor itself.
    """
    whole = [
        device
        for device, following in zip(listed, [*listed[1:], None], strict=False)
        if device.number is None or following is None or following.number is not None
    ]
    if allotted is None:
        return tuple(whole)
    return tuple(device for device in whole if _is_allotted(device.uuid, listed, allotted))


def matching_device(name: str, listed: Sequence[ListedDevice]) -> ListedDevice | None:
    """The listed device of this number or identifier; like CUDA, takes the beginning of an identifier."""
    for device in listed:
        if (name.isdigit() and device.number == int(name)) or device.uuid.startswith(name):
            return device
    return None


def _missing(name: str, wanted: str, listed: Sequence[ListedDevice]) -> DeviceError:
    return DeviceError(
        f"there is no device {name}",
        where=f"devices: {wanted!r}",
        remedy=f'use one of: {"; ".join(map(str, listed))}; or "auto", or "cpu"',
    )


def _is_allotted(name: str, listed: Sequence[ListedDevice], allotted: str) -> bool:
    given = [part.strip() for part in allotted.split(",")]
    same_text = name in given
    device = matching_device(name, listed)
    return same_text or (
        device is not None and device in [matching_device(part, listed) for part in given if part]
    )
