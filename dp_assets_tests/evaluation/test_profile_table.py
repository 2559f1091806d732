"""Stored tables as profile sets."""

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.profile_table import profile_set


def _table(level: str) -> pa.Table:
    place = (
        {"Metadata_Plates": ["P1,P2", "P2"]}
        if level == "treatment"
        else {"Metadata_Plate": ["P1", "P2"], "Metadata_Well": ["A01", "A02"]}
    )
    roles = {
        "Metadata_Treatment": ["drug@1", "dmso"],
        "Metadata_Compound": ["drug", None],
        "Metadata_Concentration": ["1", ""],
        "Metadata_MOA": ["x|y", ""],
        "Metadata_Batch": ["W1,W2", "W2"],
        "Metadata_Control": ["false", "true"],
        "Metadata_Replicate": ["1", "2"],
        "Metadata_Cell_Count": ["10", "20"],
    }
    features = {"net_0": np.array([1, 2], np.float32), "net_1": np.array([3, 4], np.float32)}
    return pa.table({**place, **roles, **features})


def test_roles_become_arrays_and_only_features_are_features() -> None:
    found = profile_set(_table("well"), "well")
    assert found.level == "well"
    assert found.names.tolist() == ["net_0", "net_1"]
    assert found.features.dtype == np.float64
    np.testing.assert_array_equal(found.features, [[1, 3], [2, 4]])
    assert found.treatments.tolist() == ["drug@1", "dmso"]
    assert found.compounds.tolist() == ["drug", ""]
    assert found.concentrations.tolist() == ["1", ""]
    assert found.labels.tolist() == ["x|y", ""]
    assert found.batches.tolist() == ["W1,W2", "W2"]
    assert found.plates.tolist() == ["P1", "P2"]
    assert found.wells.tolist() == ["A01", "A02"]
    assert found.is_control.tolist() == [False, True]


def test_treatments_have_all_their_plates_and_no_wells() -> None:
    found = profile_set(_table("treatment"), "treatment")
    assert found.plates.tolist() == ["P1,P2", "P2"]
    assert found.wells.tolist() == ["", ""]


def test_the_first_value_that_is_not_finite_is_named() -> None:
    table = _table("well")
    broken = table.set_column(table.column_names.index("net_1"), "net_1", pa.array([3, np.nan], pa.float32()))
    with pytest.raises(StoreError, match=r"row 1 \(dmso\), feature net_1"):
        profile_set(broken, "well")


def test_take_keeps_rows_together() -> None:
    found = profile_set(_table("well"), "well").take(np.array([1]))
    assert len(found) == 1
    assert found.treatments.tolist() == ["dmso"]
    assert found.concentrations.tolist() == [""]
    np.testing.assert_array_equal(found.features, [[2, 4]])


def test_arrays_of_other_lengths_are_refused() -> None:
    found = profile_set(_table("well"), "well")
    values = {name: getattr(found, name) for name in found.__dataclass_fields__}
    assert ProfileSet(**{**values, "concentrations": np.empty(0, object)}).concentrations.tolist() == ["", ""]
    with pytest.raises(ValueError, match=r"Expected 2 rows in labels\. Received 3"):
        ProfileSet(**{**values, "labels": np.array(["a", "b", "c"], object)})
    with pytest.raises(ValueError, match=r"Expected 2 feature names\. Received 1"):
        ProfileSet(**{**values, "names": np.array(["a"], object)})
