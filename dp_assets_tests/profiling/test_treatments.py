"""Treatment profiles against pycytominer, what they carry, and labels confounded with batches."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.profile_sections import Summary
from dp_assets.config.protocol import TreatmentAggregation
from dp_assets.profiling.treatments import batch_label_confounding, treatment_table
from dp_assets.storage.schemas import TREATMENT_PROFILES
from dp_assets_tests.profiling.cell_tables import feature_columns, feature_values, text_table

WELLS = TreatmentAggregation()
SITES = TreatmentAggregation(source="site")


def profiles(features: np.ndarray, **columns: Sequence[str]) -> pa.Table:
    """Rows with roles; what is not given is the same everywhere."""
    count = len(features)
    usual = {
        "Plate": ["P1"] * count,
        "Well": [f"A{number + 1:02d}" for number in range(count)],
        "Treatment": ["t"] * count,
        "Compound": ["c"] * count,
        "Concentration": ["1"] * count,
        "MOA": ["m"] * count,
        "Batch": ["b"] * count,
        "Control": ["false"] * count,
        "Replicate": ["1"] * count,
    }
    table = text_table({f"Metadata_{name}": values for name, values in (usual | columns).items()})
    for name, column in zip(feature_columns(features.shape[1]), features.T, strict=True):
        table = table.append_column(name, pa.array(column, pa.float32()))
    return table


def column(table: pa.Table, name: str) -> list[str]:
    return table[f"Metadata_{name}"].to_pylist()


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("seed", range(3))
def test_against_pycytominer(method: Summary, seed: int) -> None:
    from pycytominer import aggregate

    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 6, 60)
    values = rng.normal(100, 1, (60, 4)).astype(np.float32)
    names = [f"t{number}" for number in numbers]
    control = np.where(numbers == 3, "true", "false").tolist()
    found = treatment_table(
        profiles(values, Treatment=names, Compound=names, Control=control),
        TreatmentAggregation(aggregation=method),
    )
    frame = pd.DataFrame(values.astype(np.float64), columns=feature_columns(4))
    frame["Metadata_Treatment"] = names
    expected = aggregate(
        frame[frame["Metadata_Treatment"] != "t3"],
        strata=["Metadata_Treatment"],
        features=feature_columns(4),
        operation=method,
    ).set_index("Metadata_Treatment")
    assert "t3" not in column(found, "Treatment")
    assert len(expected) == found.num_rows
    np.testing.assert_allclose(
        feature_values(found), expected.loc[column(found, "Treatment")], rtol=1e-6, atol=0
    )
    assert found.schema.field("net_0").type == pa.float32()
    assert TREATMENT_PROFILES.problems(found) == ()


def test_what_a_treatment_carries() -> None:
    table = profiles(
        np.arange(5.0)[:, None],
        Plate=["P2", "P1", "P2", "P1", "P1"],
        Well=["A01", "A01", "A02", "A02", "A03"],
        Treatment=["a@1", "a@1", "a@1", "b@2", "DMSO"],
        Compound=["a", "a", "a", "b", "DMSO"],
        MOA=["", "x", "x", "", "y"],
        Batch=["w2", "w1", "w2", "w1", "w1"],
        Control=["false"] * 4 + ["true"],
        Replicate=["1"] * 5,
        Cell_Count=["10", "5", "7", "3", "1000"],
        Site_Count=["2", "2", "1", "4", "9"],
        Supplier=["s", "s", "s", "t", "u"],
        Operator=["1", "2", "1", "1", "1"],
    )
    found = treatment_table(table, WELLS)
    assert found.column_names == [
        "Metadata_Treatment",
        "Metadata_Compound",
        "Metadata_Concentration",
        "Metadata_MOA",
        "Metadata_Batch",
        "Metadata_Control",
        "Metadata_Plates",
        "Metadata_Well_Count",
        "Metadata_Site_Count",
        "Metadata_Cell_Count",
        "Metadata_Supplier",
        "net_0",
    ]
    assert column(found, "Treatment") == ["a@1", "b@2"]
    assert column(found, "Batch") == ["w2,w1", "w1"]
    assert column(found, "Plates") == ["P2,P1", "P1"]
    assert column(found, "MOA") == ["x", ""]
    assert column(found, "Control") == ["false", "false"]
    assert column(found, "Well_Count") == ["3", "1"]
    assert column(found, "Site_Count") == ["5", "4"]
    assert column(found, "Cell_Count") == ["22", "3"]
    assert column(found, "Supplier") == ["s", "t"]
    assert feature_values(found).ravel().tolist() == [1.0, 3.0]


def test_treatments_of_sites_count_wells_once() -> None:
    table = profiles(
        np.array([[0.0], [1.0], [50.0], [7.0]]),
        Site=["1", "2", "1", "1"],
        Well=["A01", "A01", "A02", "A01"],
        Plate=["P1", "P1", "P1", "P2"],
        Cell_Count=["1", "2", "", "4"],
    )
    found = treatment_table(table, TreatmentAggregation(aggregation="median", source="site"))
    assert feature_values(found).tolist() == [[4.0]]
    assert (column(found, "Well_Count"), column(found, "Site_Count")) == (["3"], ["4"])
    assert column(found, "Cell_Count") == [""]


def test_treatments_are_sorted_by_compound_then_dose_as_a_number() -> None:
    doses = ["10", "2", "high", "0.5", "", "1"]
    compounds = ["a", "a", "a", "a", "a", "B"]
    names = [f"{compound}@{dose}" for compound, dose in zip(compounds, doses, strict=True)]
    table = profiles(np.arange(6.0)[:, None], Treatment=names, Compound=compounds, Concentration=doses)
    found = treatment_table(table, WELLS)
    assert column(found, "Treatment") == ["B@1", "a@0.5", "a@2", "a@10", "a@", "a@high"]
    assert feature_values(found).ravel().tolist() == [5, 3, 1, 0, 4, 2]


def test_a_treatment_of_several_doses_has_none() -> None:
    found = treatment_table(profiles(np.ones((2, 1)), Concentration=["1", "2"]), WELLS)
    assert column(found, "Concentration") == [""]


def test_a_treatment_of_several_labels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='"t" has several labels') as caught:
        treatment_table(profiles(np.ones((2, 1)), MOA=["m", "n"]), WELLS)
    assert caught.value.problems[0].where == "profiles.treatment_fields"


def test_controls_only_make_an_empty_table() -> None:
    found = treatment_table(profiles(np.ones((2, 3)), Control=["true", "true"]), WELLS)
    assert found.num_rows == 0
    assert found.column_names[-3:] == feature_columns(3)


def test_sums_are_taken_in_float64() -> None:
    values = np.array([[2.0**25]] + [[1.0]] * 7 + [[-(2.0**25)]])
    assert feature_values(treatment_table(profiles(values), WELLS))[0, 0] == np.float32(7 / 9)


def test_profiles_of_another_level_are_refused() -> None:
    wells = profiles(np.ones((1, 1)))
    with pytest.raises(ValueError, match="of wells"):
        treatment_table(wells, SITES)
    with pytest.raises(ValueError, match="of sites"):
        treatment_table(profiles(np.ones((1, 1)), Site=["1"]), WELLS)


def test_labels_and_treatments_in_one_batch() -> None:
    table = profiles(
        np.ones((8, 1)),
        Treatment=["a", "a", "b", "c", "d", "e", "DMSO", "f"],
        MOA=["x", "x", "x|y", "z", "z", "", "DMSO", "w"],
        Batch=["1", "2", "1", "2", "2", "1", "3", ""],
        Control=["false"] * 6 + ["true", "false"],
    )
    found = batch_label_confounding(table, label_separator="|")
    assert (found.batches, found.labels, found.treatments) == (2, 3, 5)
    assert found.labels_in_one_batch == ("y", "z")
    assert found.treatments_in_one_batch == ("b", "c", "d", "e")
    assert (found.label_fraction, found.treatment_fraction) == (2 / 3, 4 / 5)
    assert batch_label_confounding(table).labels_in_one_batch == ("x|y", "z")


def test_one_batch_confounds_nothing() -> None:
    found = batch_label_confounding(profiles(np.ones((3, 1))))
    assert (found.batches, found.labels, found.labels_in_one_batch) == (1, 1, ())
    assert batch_label_confounding(profiles(np.ones((0, 1)))).label_fraction == 0
