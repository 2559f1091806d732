"""What other programs call plate, well and site, and names that mean the same column.

CellProfiler writes `Image_Metadata_Plate_DAPI`, pycytominer `Metadata_Plate`, plate maps `well_position` and
`Assay_Plate_Barcode`.
"""

import re
from collections.abc import Iterable, Sequence

PLATE_ROLE, WELL_ROLE, SITE_ROLE = "plate", "well", "site"
IMAGE_ROLE, TABLE_ROLE, OBJECT_ROLE = "image", "table", "object"

# role -> names without prefix and in lower case; the first that is there counts.
_NAMES: dict[str, tuple[str, ...]] = {
    PLATE_ROLE: ("plate", "assay_plate_barcode", "plate_barcode", "barcode", "plateid", "platename"),
    WELL_ROLE: ("well", "well_position", "cpd_well_position", "wellid", "wellname"),
    SITE_ROLE: ("site", "field", "fieldid", "fov", "field_of_view", "fieldofview", "siteid"),
    IMAGE_ROLE: ("imagenumber", "image_number"),
    TABLE_ROLE: ("tablenumber", "table_number"),
    OBJECT_ROLE: ("objectnumber", "object_number", "cell"),
}
_PREFIX = re.compile(r"^(?:metadata_|image_metadata_|image_)+", re.IGNORECASE)
_STAINED = re.compile(r"^(?P<role>plate|well|site)_(?P<stain>.+)$", re.IGNORECASE)
_IMAGE_FILE = re.compile(r"^(?:Metadata_|Image_)*(?:FileName|PathName|URL)_(?P<stain>.+)$")
_KNOWN_STAINS = frozenset(
    ("dapi", "dna", "hoechst", "er", "rna", "agp", "mito", "tubulin", "actin", "gfp", "rfp", "id", "name")
)
_OBJECT_NUMBER = re.compile(
    r"^(?:metadata_)?(?P<object>[a-z0-9]+)_(?:objectnumber|number_object_number)$", re.IGNORECASE
)
_WELL = re.compile(r"(?P<row>[A-Za-z]{1,2})[-_:]?0*(?P<column>[1-9]\d{0,2})")
_NAMES_SHOWN = 40
_LONGEST_SHOWN = 60


def without_prefix(name: str) -> str:
    """The name without `Metadata_`, `Image_Metadata_` or `Image_`; never empty unless the name is."""
    return _PREFIX.sub("", name.strip()) or name.strip()


def same_name(name: str) -> str:
    """A form that is equal for names of the same column: without prefix and in lower case."""
    return without_prefix(name).casefold()


def names_image_file(name: str) -> bool:
    """Whether a column holds names, folders or addresses of image files (`Image_FileName_DAPI`)."""
    return _IMAGE_FILE.match(name) is not None


class NamedColumns:
    """The columns of a table by what they mean.

    Parameters
    ----------
    names : as they are in the table.

    Attributes
    ----------
    names : as they are in the table.
    roles : "plate", "well", "site", "image", "table", "object" -> the column, for those that are there.
    stain : ending of the columns that stands for an image ("DAPI" of `Image_Metadata_Plate_DAPI`), or "".
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._by_name: dict[str, list[str]] = {}
        for name in names:
            self._by_name.setdefault(same_name(name), []).append(name)
        self.roles: dict[str, str] = {}
        for role, known in _NAMES.items():
            found = next((alias for alias in known if alias in self._by_name), None)
            if found is not None:
                self.roles[role] = min(self._by_name[found], key=_prefix_rank)
        self.stain = self._stained_roles()
        self._object_number()

    def plain(self, name: str) -> str:
        """The name without prefix and without the stain: "Compound" of `Image_Metadata_Compound_DAPI`."""
        bare = without_prefix(name)
        ending = f"_{self.stain}"
        if self.stain and bare.casefold().endswith(ending.casefold()) and not _IMAGE_FILE.match(name):
            return bare[: -len(ending)] or bare
        return bare

    def find(self, name: str) -> str | None:
        """The column that a user means by `name`, written with or without prefix, in any case."""
        if name in self.names:
            return name
        found = self._by_name.get(same_name(name), [])
        return min(found, key=_prefix_rank) if found else None

    def second_spelling(self, name: str) -> bool:
        """Whether this is plate, well or site again, beside the column that counts."""
        bare = without_prefix(name)
        match = _STAINED.match(bare)
        stained = match is not None and self._is_stain(match["stain"])
        role = match["role"].casefold() if match is not None and stained else bare.casefold()
        return role in (PLATE_ROLE, WELL_ROLE, SITE_ROLE) and self.roles.get(role, name) != name

    def _stained_roles(self) -> str:
        """Find plate, well and site under names with an ending, and return the ending."""
        stain = ""
        for name in self.names:
            match = _STAINED.match(without_prefix(name))
            if match is None or not self._is_stain(match["stain"]):
                continue
            role = match["role"].casefold()
            if role not in self.roles and (not stain or stain == match["stain"]):
                self.roles[role] = name
                stain = match["stain"]
        return stain

    def _is_stain(self, ending: str) -> bool:
        """An ending is a stain when images are called by it, or when plate and well both have it."""
        if ending.casefold() in _KNOWN_STAINS:
            return True
        images = (_IMAGE_FILE.match(name) for name in self.names)
        if any(match is not None and match["stain"] == ending for match in images):
            return True
        return all(f"{role}_{ending}".casefold() in self._by_name for role in (PLATE_ROLE, WELL_ROLE))

    def _object_number(self) -> None:
        if OBJECT_ROLE not in self.roles:
            found = [name for name in self.names if _OBJECT_NUMBER.match(name)]
            if found:
                self.roles[OBJECT_ROLE] = found[0]


def _prefix_rank(name: str) -> int:
    """`Metadata_Plate` counts before `Image_Metadata_Plate`, and that before `Plate`."""
    lower = name.casefold()
    return 0 if lower.startswith("metadata_") else 1 if lower.startswith("image_metadata_") else 2


def normal_well(text: str) -> str:
    """One spelling of a well: a1, A1, A-01 and A001 are A01; other names stay as they are."""
    match = _WELL.fullmatch(text.strip())
    return f"{match['row'].upper()}{int(match['column']):02d}" if match else text.strip()


def shown_names(names: Iterable[str]) -> str:
    """Column names for a message: a few dozen at most, none of them long, control characters escaped."""
    names = list(names)
    texts = [repr(name)[1:-1][:_LONGEST_SHOWN] for name in names[:_NAMES_SHOWN]]
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return (", ".join(texts) or "none") + more
