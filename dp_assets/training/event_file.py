"""Loss curves for TensorBoard, without TensorBoard or TensorFlow.

An event file is a sequence of records (length, checksum, bytes, checksum), each holding one `Event` message.
Format: TensorFlow, `tfrecord` documentation and `event.proto`; of the messages only a scalar and its step are
needed here.
"""

import struct
import time
from collections.abc import Mapping
from pathlib import Path

CRC32C_POLYNOMIAL = 0x82F63B78
MASK_DELTA = 0xA282EAD8
SUFFIX = ".dp_assets"

DOUBLE, VARINT, BYTES, FLOAT = 1, 0, 2, 5  # wire types of protocol buffers


class EventFile:
    """A file of scalars that TensorBoard shows as curves. Files of former runs in the folder are replaced.

    Parameters
    ----------
    folder : the log folder; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for former in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            former.unlink()
        now = time.time()
        self.path = folder / f"events.out.tfevents.{int(now):010d}{SUFFIX}"
        version = _field(3, BYTES, b"brain.Event:2")
        self.path.write_bytes(_record(_field(1, DOUBLE, struct.pack("<d", now)) + version))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append the values of one step (here: of one 1-based epoch)."""
        values = b"".join(
            _field(1, BYTES, _field(1, BYTES, tag.encode()) + _field(2, FLOAT, struct.pack("<f", value)))
            for tag, value in scalars.items()
        )
        event = _field(1, DOUBLE, struct.pack("<d", time.time())) + _field(2, VARINT, _varint(step))
        with self.path.open("ab") as stream:
            stream.write(_record(event + _field(5, BYTES, values)))


def _field(number: int, wire_type: int, payload: bytes) -> bytes:
    length = _varint(len(payload)) if wire_type == BYTES else b""
    return _varint(number << 3 | wire_type) + length + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF)


def _remainders() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CRC32C_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _remainders()
