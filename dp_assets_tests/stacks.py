"""Files of several planes, as microscopes and converters write them."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
import zarr

CHANNELS = ("DNA", "RNA", "Mito")
Version = Literal["0.4", "0.5"]


def stack(*shape: int, dtype: str = "uint16", seed: int = 0, top: int | None = None) -> np.ndarray:
    """Random pixels."""
    high = np.iinfo(dtype).max if top is None else top
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype, endpoint=True)


def write_ome_tiff(
    path: Path, pixels: np.ndarray, axes: str = "CYX", names: tuple[str, ...] = CHANNELS, **options: Any
) -> Path:
    """An OME-TIFF with these axes; channels have names, none when `names` is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"axes": axes}
    if names:
        metadata["Channel"] = {"Name": list(names)}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata, **options)
    return path


def write_zarr_image(
    folder: Path,
    pixels: np.ndarray,
    axes: str = "cyx",
    names: tuple[str, ...] = CHANNELS,
    version: Version = "0.4",
    **options: Any,
) -> Path:
    """An image group of NGFF 0.4 (Zarr format 2) or 0.5 (format 3), its metadata written by hand.

    `options` go to `zarr.create_array`; by default a chunk is one plane and all chunks are written.
    """
    level = folder / "0"
    default = tuple(1 if axis in "tcz" else size for axis, size in zip(axes, pixels.shape, strict=True))
    array = zarr.create_array(
        str(level),
        shape=pixels.shape,
        dtype=pixels.dtype,
        zarr_format=2 if version == "0.4" else 3,
        overwrite=True,
        config={"write_empty_chunks": True},
        **{"chunks": default, **options},
    )
    array[...] = pixels
    kinds = {"t": "time", "c": "channel"}
    image = {
        "axes": [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}
        ],
    }
    metadata: dict[str, Any] = {"multiscales": [image]}
    if names:
        metadata["omero"] = {"channels": [{"label": name} for name in names]}
    write_zarr_group(folder, metadata, version)
    return folder


def write_zarr_group(folder: Path, metadata: dict[str, Any], version: Version = "0.4") -> None:
    """A group with NGFF metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        document = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": version, **metadata}},
        }
        (folder / "zarr.json").write_text(json.dumps(document))
        return
    for image in metadata.get("multiscales", []):
        image["version"] = version
    (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (folder / ".zattrs").write_text(json.dumps(metadata))


def write_zarr_plate(
    folder: Path,
    fields: dict[tuple[str, int], np.ndarray],
    version: Version = "0.4",
    names: tuple[str, ...] = CHANNELS,
    axes: str = "cyx",
) -> Path:
    """An HCS plate; `fields` are {("A01", 0): pixels}, field 0 of well A01."""
    wells = sorted({well for well, _ in fields})
    rows = sorted({well[0] for well in wells})
    columns = sorted({str(int(well[1:])) for well in wells}, key=int)
    plate = {
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": f"{well[0]}/{int(well[1:])}",
                "rowIndex": rows.index(well[0]),
                "columnIndex": columns.index(str(int(well[1:]))),
            }
            for well in wells
        ],
    }
    write_zarr_group(folder, {"plate": plate}, version)
    for row in rows:
        write_zarr_group(folder / row, {}, version)
    for well in wells:
        place = folder / well[0] / str(int(well[1:]))
        numbers = sorted(number for name, number in fields if name == well)
        write_zarr_group(place, {"well": {"images": [{"path": str(number)} for number in numbers]}}, version)
        for number in numbers:
            write_zarr_image(place / str(number), fields[well, number], axes, names, version)
    return folder
