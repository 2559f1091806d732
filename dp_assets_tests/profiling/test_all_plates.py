"""Profiles of plates as one table."""

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.profiling.all_plates import join_plates
from dp_assets.storage.tables import with_provenance


def plate(name: str, *, features: tuple[str, ...] = ("f_0", "f_1"), **columns: list) -> pa.Table:
    """Two wells."""
    texts = {"Metadata_Plate": [name, name], "Metadata_Well": ["A01", "A02"], **columns}
    return pa.table({**texts, **{feature: np.arange(2, dtype=np.float32) for feature in features}})


def test_plates_are_stacked_by_name_whatever_their_order() -> None:
    plates = {name: plate(name) for name in ("P2", "P10", "P1")}
    joined = join_plates(plates, "e/well_profiles")
    assert joined["Metadata_Plate"].to_pylist() == ["P1", "P1", "P10", "P10", "P2", "P2"]
    assert joined.equals(join_plates(dict(reversed(plates.items())), "e/well_profiles"))


def test_a_column_that_a_plate_lacks_is_empty_there() -> None:
    joined = join_plates({"P1": plate("P1"), "P2": plate("P2", Metadata_Dose=["1", None])}, "e/well_profiles")
    assert joined["Metadata_Dose"].to_pylist() == ["", "", "1", ""]
    assert joined.column_names[-2:] == ["f_0", "f_1"]


@pytest.mark.parametrize(
    ("former", "said"),
    [
        (with_provenance(plate("P2"), model="m0", layer="pool"), "model m0: plates P2"),
        (with_provenance(plate("P2"), model="m1", layer="conv"), "layer conv of model m1: plates P2"),
        (with_provenance(plate("P2", features=("f_0",)), model="m1", layer="pool"), "1 features"),
    ],
)
def test_plates_of_several_origins_are_refused(former: pa.Table, said: str) -> None:
    now = with_provenance(plate("P1"), model="m1", layer="pool")
    with pytest.raises(StoreError, match="not made by one layer of one model") as caught:
        join_plates({"P1": now, "P2": former}, "e/well_profiles")
    assert said in str(caught.value)
    assert str(caught.value).startswith("e/well_profiles: ")


def test_no_plate_is_an_error() -> None:
    with pytest.raises(StoreError, match="run the stage `profile`"):
        join_plates({}, "e/well_profiles")
