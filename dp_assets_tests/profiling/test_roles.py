"""Roles of profiles on metadata as BBBC021, JUMP, TA-ORF, BBBC022 and bbbc013 have them."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.presets import PRESETS
from dp_assets.config.protocol import ProfileColumns
from dp_assets.profiling.roles import treatment_conflicts, with_roles
from dp_assets.profiling.treatments import batch_label_confounding
from dp_assets.storage.profile_columns import ROLES
from dp_assets.storage.schemas import PROFILES
from dp_assets.storage.tables import read_provenance, with_provenance
from dp_assets_tests.profiling.cell_tables import text_table

FOUND = PRESETS["custom"].columns
BBBC021 = PRESETS["bbbc021"].columns


def profiles(**columns: Sequence[str | None]) -> pa.Table:
    """Wells A01, A02, ... of plate P1, with one feature."""
    count = len(next(iter(columns.values())))
    given = {
        "Metadata_Plate": ["P1"] * count,
        "Metadata_Well": [f"A{number + 1:02d}" for number in range(count)],
        **{f"Metadata_{name}": values for name, values in columns.items()},
    }
    return text_table(given).append_column("net_0", pa.array(range(count), pa.float32()))


def role(table: pa.Table, name: str) -> list[str]:
    return table[f"Metadata_{name}"].to_pylist()


def test_bbbc021() -> None:
    table = profiles(
        Plate=["Week1_22123", "Week1_22123", "Week10_40111", "Week10_40111", "Week10_40111"],
        Compound=["DMSO", "taxol", "PP-2", "ALLN", "taxol"],
        Concentration=["0.000000", "0.30", "3.000000", "100", "0.3"],
        MOA=["DMSO", "Microtubule stabilizers", "Epithelial", None, "Microtubule stabilizers"],
        Replicate=["1", "1", "2", "2", "2"],
    )
    found = with_roles(table, BBBC021, labelled_only=True)
    assert found.left_out == {"no label": 1}
    assert role(found.table, "Treatment") == ["DMSO@0", "taxol@0.3", "PP-2@3", "taxol@0.3"]
    assert role(found.table, "Compound") == ["DMSO", "taxol", "PP-2", "taxol"]
    assert role(found.table, "Concentration") == ["0", "0.3", "3", "0.3"]
    assert role(found.table, "Batch") == ["Week1", "Week1", "Week10", "Week10"]
    assert role(found.table, "Control") == ["true", "false", "false", "false"]
    assert role(found.table, "Replicate") == ["1", "1", "2", "2"]
    assert found.table["net_0"].to_pylist() == [0, 1, 2, 4]
    assert PROFILES.problems(found.table) == ()
    assert found.table.column_names == ["Metadata_Plate", "Metadata_Well", *ROLES, "net_0"]
    assert with_roles(table, BBBC021).table.num_rows == 5


def test_controls_without_a_label_stay() -> None:
    table = profiles(Compound=["DMSO", "a"], Concentration=["0", "1"], MOA=["", "x"])
    assert with_roles(table, BBBC021, labelled_only=True).table.num_rows == 2


def test_jump() -> None:
    table = profiles(
        Source=["source_4"] * 3,
        JCP2022=["JCP2022_033924", "JCP2022_085227", "JCP2022_000001"],
        pert_type=["negcon", "poscon", "trt"],
        Batch=["2021_04_26_Batch1"] * 3,
    )
    columns = FOUND.model_copy(update={"control": ("pert_type",), "control_values": ("negcon",)})
    found = with_roles(table, columns).table
    assert role(found, "Treatment") == role(found, "Compound") == role(table, "JCP2022")
    assert role(found, "Control") == ["true", "false", "false"]
    assert role(found, "Batch") == ["2021_04_26_Batch1"] * 3
    assert role(found, "MOA") == role(found, "Concentration") == role(found, "Replicate") == ["", "", ""]
    assert role(found, "Source") == ["source_4"] * 3


def test_taorf() -> None:
    table = profiles(
        pert_name=["EMPTY_", "JUN_WT.2", "EMPTY_2"],
        gene_name=["EMPTY", "JUN", "x"],
        Pathway=["", "MAPK", "MAPK"],
        broad_sample=["BRDN0000000001", "BRDN0000464926", "BRDN0000464927"],
    )
    found = with_roles(table, PRESETS["taorf"].columns).table
    assert role(found, "Treatment") == role(found, "Compound") == ["EMPTY_", "JUN_WT.2", "EMPTY_2"]
    assert role(found, "Control") == ["true", "false", "false"]
    assert role(found, "MOA") == ["", "MAPK", "MAPK"]
    assert role(found, "Batch") == ["P1", "P1", "P1"]
    assert role(found, "gene_name") == ["EMPTY", "JUN", "x"]


def test_bbbc022_with_the_dose_in_the_name() -> None:
    samples = ["DMSO@0", "BRD-K12345678-001-01-1@3.30", "BRD-K12345678-001-01-1@10"]
    table = profiles(broad_sample=samples, **{"moa.x": ["", "agonist|inhibitor", "agonist|inhibitor"]})
    columns = ProfileColumns(
        compound=("broad_sample",),
        concentration=("mmoles_per_liter",),
        label=("moa.x",),
        control=("broad_sample",),
        control_values=("DMSO",),
    )
    found = with_roles(table, columns).table
    assert role(found, "Compound") == ["DMSO", "BRD-K12345678-001-01-1", "BRD-K12345678-001-01-1"]
    assert role(found, "Concentration") == ["0", "3.3", "10"]
    assert role(found, "Treatment") == [
        "DMSO@0",
        "BRD-K12345678-001-01-1@3.3",
        "BRD-K12345678-001-01-1@10",
    ]
    assert role(found, "Control") == ["true", "false", "false"]
    assert role(found, "MOA") == ["", "agonist|inhibitor", "agonist|inhibitor"]
    assert role(found, "broad_sample") == samples


def test_a_column_of_concentrations_goes_before_the_dose_in_the_name() -> None:
    table = profiles(broad_sample=["BRD-K1@3.3"], mmoles_per_liter=["5.0"])
    found = with_roles(table, FOUND).table
    assert (role(found, "Treatment"), role(found, "Concentration")) == (["BRD-K1@5"], ["5"])


def test_bbbc013(shared: Path) -> None:
    with (shared / "data/bbbc013/inputs/metadata/index.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = ("Treatment", "Compound", "Concentration", "Control", "MOA", "Replicate")
    table = text_table(
        {
            "Metadata_Plate": [row["Metadata_Plate"] for row in rows],
            "Metadata_Well": [row["Metadata_Well"] for row in rows],
            **{f"Metadata_{name}": [row[name] for row in rows] for name in names},
        }
    )
    columns = FOUND.model_copy(
        update={"treatment": ("Treatment",), "control": ("Treatment",), "control_values": ("untreated@0",)}
    )
    found = with_roles(table, columns).table
    assert role(found, "Control").count("true") == 16
    assert role(found, "Treatment") == role(table, "Treatment")
    assert len(set(role(found, "Treatment"))) == 20
    assert set(role(found, "Index_Control")) >= {"negative_control", "treatment"}
    assert "0.98" in role(found, "Concentration")
    assert "30.0" not in role(found, "Concentration")
    assert treatment_conflicts(found) == []


def test_the_annotated_part_of_bbbc021(shared: Path) -> None:
    with gzip.open(shared / "reference/BBBC021_v1_image.csv.gz", "rt") as stream:
        rows = list(csv.DictReader(stream))
    with (shared / "reference/BBBC021_v1_moa.csv").open() as stream:
        moa = {(row["compound"], float(row["concentration"])): row["moa"] for row in csv.DictReader(stream)}
    of = {name: [row[f"Image_Metadata_{name}"] for row in rows] for name in ("Compound", "Concentration")}
    table = text_table(
        {
            "Metadata_Plate": [row["Image_Metadata_Plate_DAPI"] for row in rows],
            "Metadata_Well": [row["Image_Metadata_Well_DAPI"] for row in rows],
            "Metadata_Site": [row["Image_FileName_DAPI"] for row in rows],
            **{f"Metadata_{name}": values for name, values in of.items()},
            "Metadata_MOA": [
                moa.get((compound, float(dose)), "") for compound, dose in zip(*of.values(), strict=True)
            ],
        }
    )
    found = with_roles(table, BBBC021, labelled_only=True)
    treated = found.table.filter(pa.array([value == "false" for value in role(found.table, "Control")]))
    assert len(set(role(treated, "Treatment"))) == 103
    assert len(set(role(treated, "Compound"))) == 38
    assert len(set(role(treated, "MOA"))) == 12
    assert len(set(role(treated, "Batch"))) == 10
    assert found.table.num_rows == 3848
    assert len(set(role(found.table, "Plate"))) == 55
    assert found.left_out == {"no label": 13_200 - 3848}
    # the two that the published protocol leaves out by name
    confounded = batch_label_confounding(found.table)
    assert confounded.labels_in_one_batch == ("Cholesterol-lowering", "Kinase inhibitors")
    assert treatment_conflicts(found.table) == []


def test_one_treatment_column_keeps_its_values_as_they_are() -> None:
    table = profiles(Drug=["0.30", " b "])
    found = with_roles(table, ProfileColumns(treatment=("drug",))).table
    assert role(found, "Treatment") == ["0.30", "b"]


def test_only_the_concentration_is_written_as_a_number() -> None:
    table = profiles(Plate_Map=["007"], Drug=["b"], Dose=["1.50"], Hours=["24.0"])
    columns = ProfileColumns(treatment=("Plate_Map", "Drug", "Dose", "Hours"), concentration=("Dose",))
    assert role(with_roles(table, columns).table, "Treatment") == ["007@b@1.5@24.0"]


def test_missing_parts_of_a_treatment() -> None:
    table = profiles(
        Compound=["a", "b", "", "", "c"],
        Concentration=["1", "", "2", "", "nan"],
        Hours=["", "", "", "4", "3"],
    )
    columns = ProfileColumns(
        treatment=("Compound", "Concentration", "Hours"), concentration=("Concentration",)
    )
    found = with_roles(table, columns)
    assert role(found.table, "Treatment") == ["a@1", "b", "@@4", "c@@3"]
    assert found.left_out == {"no treatment": 1}


def test_compound_and_dose_from_a_treatment_when_nothing_else_tells() -> None:
    table = profiles(Treatment=["wortmannin@0.980", "LY294002@20", "DMSO"])
    found = with_roles(table, FOUND).table
    assert role(found, "Treatment") == ["wortmannin@0.980", "LY294002@20", "DMSO"]
    assert role(found, "Compound") == ["wortmannin", "LY294002", "DMSO"]
    assert role(found, "Concentration") == ["0.98", "20", ""]
    plain = with_roles(profiles(Treatment=["a", "b"]), FOUND).table
    assert role(plain, "Compound") == ["", ""]


def test_nothing_that_tells_the_treatment() -> None:
    with pytest.raises(ConfigurationError, match="Plate, Well, Row") as caught:
        with_roles(profiles(Row=["a"]), FOUND)
    assert caught.value.problems[0].where == "profiles.treatment_fields"
    assert "treatment_fields" in caught.value.problems[0].remedy


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        (["0", "0.0", "0.5", "", "x"], ("0",), "TTFFF"),
        (["0", "1", "0.00"], ("0.0",), "TFT"),
        (["DMSO", "dmso", "DMSO@0", "DMSO@x", "xDMSO"], ("DMSO",), "TFTFF"),
        (["untreated@0", "untreated"], ("untreated@0",), "TF"),
        (["", None, "NA", "a"], ("",), "TTTF"),
        (["EMPTY_", "LUC", "a"], ("EMPTY_", "LUC"), "TTF"),
    ],
)
def test_controls(values: list[str | None], wanted: tuple[str, ...], expected: str) -> None:
    table = profiles(Compound=["c"] * len(values), Sample=values)
    columns = ProfileColumns(compound=("Compound",), control=("Sample",), control_values=wanted)
    found = role(with_roles(table, columns).table, "Control")
    assert "".join("T" if value == "true" else "F" for value in found) == expected


def test_columns_as_cellprofiler_writes_them() -> None:
    table = profiles(Compound=["DMSO", "a"], MoA=["", "x"], Image_Metadata_Well=["1", "2"])
    columns = ProfileColumns(
        compound=("Image_Metadata_Compound",),
        label=("image_metadata_moa",),
        control=("Image_Metadata_Compound",),
        control_values=("DMSO",),
        batch=("Image_Metadata_Well",),
    )
    found = with_roles(table, columns).table
    assert (role(found, "Compound"), role(found, "MOA")) == (["DMSO", "a"], ["", "x"])
    assert role(found, "Control") == ["true", "false"]
    # A column that is called so goes first.
    assert role(found, "Batch") == ["1", "2"]


def test_controls_without_a_treatment_stay() -> None:
    table = profiles(Compound=["", "", "a"], Kind=["negcon", "trt", "trt"])
    columns = ProfileColumns(compound=("Compound",), control=("Kind",), control_values=("negcon",))
    found = with_roles(table, columns)
    assert role(found.table, "Treatment") == ["", "a"]
    assert found.left_out == {"no treatment": 1}


def test_without_control_values_nothing_is_a_control() -> None:
    columns = ProfileColumns(compound=("Compound",), control=("Kind",))
    assert role(with_roles(profiles(Compound=["a"]), columns).table, "Control") == ["false"]


def test_batches() -> None:
    table = profiles(Plate=["Week1_a_b", "plain"], Compound=["a", "b"])
    named = profiles(Plate=["Week1_a", "Week2_b"], Compound=["a", "b"], batch=["x", "nan"])
    from_plate = ProfileColumns(compound=("Compound",), batch=("Batch",), batch_from_plate=True)
    usual = from_plate.model_copy(update={"batch_from_plate": False})
    assert role(with_roles(table, from_plate).table, "Batch") == ["Week1", "plain"]
    assert role(with_roles(table, usual).table, "Batch") == ["Week1_a_b", "plain"]
    assert role(with_roles(named, from_plate).table, "Batch") == ["x", ""]


def test_columns_with_a_role_s_name_and_another_meaning_are_kept() -> None:
    table = profiles(
        Treatment=["24 h", "48 h"],
        Compound=["a", "b"],
        Concentration=["1.0", "2.0"],
        MOA=["x", "y"],
        pathway=["p", "q"],
        Index_Treatment=["i", "j"],
        control=["no", "no"],
    )
    columns = ProfileColumns(
        treatment=("Compound", "Concentration"),
        compound=("Compound",),
        concentration=("Concentration",),
        label=("Pathway",),
    )
    found = with_roles(table, columns).table
    assert role(found, "Treatment") == ["a@1", "b@2"]
    assert role(found, "Index_Index_Treatment") == ["24 h", "48 h"]
    assert role(found, "Index_Treatment") == ["i", "j"]
    assert role(found, "Index_MOA") == ["x", "y"]
    assert role(found, "MOA") == role(found, "pathway") == ["p", "q"]
    assert role(found, "Index_control") == ["no", "no"]
    assert "Metadata_Index_Concentration" not in found.column_names
    assert "Metadata_Index_Compound" not in found.column_names


def test_roles_can_be_given_twice() -> None:
    once = with_roles(profiles(Compound=["DMSO", "a"], Concentration=["0", "1.0"], MOA=["", "x"]), BBBC021)
    again = with_roles(once.table, BBBC021)
    assert again.table.equals(once.table)


def test_provenance_stays() -> None:
    table = with_provenance(profiles(Compound=["a"]), model="m")
    assert read_provenance(with_roles(table, FOUND).table.schema) == {"model": "m"}


def test_every_column_that_was_asked_for_and_is_missing_is_named() -> None:
    columns = FOUND.model_copy(
        update={
            "treatment": ("Compund",),
            "label": ("Mechansm",),
            "batch": ("Batch",),
            "required": ("Compund", "Mechansm", "Batch"),
            "control": ("Solvent",),
            "control_values": ("DMSO",),
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        with_roles(profiles(Compound=["a"], Mechanism=["x"], Batch=["1"]), columns)
    assert [problem.where for problem in caught.value.problems] == [
        "profiles.treatment_fields",
        "profiles.control_field",
        "evaluation.label_field",
    ]
    assert 'the nearest is "Compound"' in caught.value.problems[0].what
    assert 'the nearest is "Mechanism"' in caught.value.problems[2].what
    assert "there are: Plate, Well, Compound, Mechanism, Batch" in caught.value.problems[2].what


def test_labels_that_are_needed_and_nowhere() -> None:
    table = profiles(Compound=["a"], Concentration=["1"])
    with pytest.raises(ConfigurationError, match='no metadata column "MOA"') as caught:
        with_roles(table, BBBC021, labelled_only=True)
    assert caught.value.problems[0].where == "evaluation.label_field"


def test_conflicts_in_wells_and_treatments() -> None:
    table = profiles(
        Plate=["P1", "P1", "P1", "P2", "P2", "P2", "P2"],
        Well=["A01", "A01", "A02", "A01", "A02", "A03", "A03"],
        Compound=["a", "b", "a", "DMSO", "DMSO", "c", "c"],
        Concentration=["1", "1", "1", "0", "0", "2", "3"],
        MOA=["x", "x", "y", "one", "other", "", ""],
    )
    assert treatment_conflicts(with_roles(table, BBBC021).table) == [
        'plate P1, well A01 has several treatments: "a@1", "b@1"',
        'plate P1, well A01 has several compounds: "a", "b"',
        'plate P2, well A03 has several treatments: "c@2", "c@3"',
        'plate P2, well A03 has several concentrations: "2", "3"',
        'treatment "a@1" has several labels: "x" (plate P1, well A01), "y" (plate P1, well A02)',
    ]


def test_a_treatment_of_several_compounds() -> None:
    table = profiles(Group=["g"] * 7, Compound=list("abcdefg"), MOA=["", "m", "", "", "", "", "m"])
    columns = ProfileColumns(treatment=("Group",), compound=("Compound",), label=("MOA",))
    (conflict,) = treatment_conflicts(with_roles(table, columns).table)
    assert conflict.startswith('treatment "g" has several compounds: "a" (plate P1, well A01), ')
    assert conflict.endswith('"e" (plate P1, well A05) and 2 more')


def test_a_label_beside_no_label_in_one_well_is_a_conflict() -> None:
    table = profiles(Well=["A01", "A01"], Compound=["a", "a"], Concentration=["1", "1.0"], MOA=["x", None])
    assert treatment_conflicts(with_roles(table, BBBC021).table) == [
        'plate P1, well A01 has several labels: "x", ""'
    ]
