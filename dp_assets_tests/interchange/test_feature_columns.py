"""Which columns are features, keys and metadata, in the namings of several programs."""

from pathlib import Path

import pytest

from dp_assets.interchange.column_names import NamedColumns, normal_well, same_name
from dp_assets.interchange.feature_columns import FeatureColumns, recognise_columns
from dp_assets.interchange.feature_files import find_feature_files
from dp_assets.interchange.table_batches import TableColumn, TableFileError
from dp_assets_tests.interchange.made_tables import settings

TEXT = (
    "Compound",
    "FileName",
    "PathName",
    "Metadata_Plate",
    "Metadata_Well",
    "Plate",
    "Well",
    "NPZSource",
)


def recognised(names: str | list[str], **how: object) -> FeatureColumns:
    listed = names.split() if isinstance(names, str) else names
    columns = [
        TableColumn(name, "text" if any(word in name for word in TEXT) else "number") for name in listed
    ]
    return recognise_columns(columns, settings("x.csv", **how), "x.csv")


def test_cellprofiler_objects_of_three_compartments() -> None:
    found = recognised(
        "TableNumber ImageNumber ObjectNumber Image_Metadata_Plate_DAPI Image_Metadata_Well_DAPI "
        "Image_FileName_DAPI Image_PathName_DAPI Image_Count_Cells Image_Metadata_Compound "
        "Cells_AreaShape_Area Cells_AreaShape_Center_X Cells_Number_Object_Number Cells_Parent_Nuclei "
        "Cells_Children_Cytoplasm_Count Cells_Location_Center_X Cells_Neighbors_FirstClosestObjectNumber_3 "
        "Cells_Neighbors_NumberOfNeighbors_3 Nuclei_AreaShape_BoundingBoxMinimum_X "
        "Nuclei_AreaShape_BoundingBoxArea Cytoplasm_Intensity_MeanIntensity_CorrDAPI "
        "Nuclei_Location_MaxIntensity_X_CorrDAPI Replicate"
    )
    assert found.features == (
        "Cells_AreaShape_Area",
        "Cells_Neighbors_NumberOfNeighbors_3",
        "Nuclei_AreaShape_BoundingBoxArea",
        "Cytoplasm_Intensity_MeanIntensity_CorrDAPI",
    )
    assert found.roles == {
        "plate": "Image_Metadata_Plate_DAPI",
        "well": "Image_Metadata_Well_DAPI",
        "image": "ImageNumber",
        "table": "TableNumber",
        "object": "ObjectNumber",
    }
    assert found.metadata == {
        "Image_Metadata_Compound": "Metadata_Compound",
        "TableNumber": "Metadata_TableNumber",
        "ImageNumber": "Metadata_ImageNumber",
        "Replicate": "Metadata_Replicate",
    }
    assert found.cell_count == "Image_Count_Cells"


def test_cellprofiler_means_over_images() -> None:
    found = recognised(
        "ImageNumber Metadata_Plate Metadata_Well Metadata_Site Mean_Cells_AreaShape_Area "
        "StDev_Nuclei_Texture_Contrast_DNA_3_00 Mean_Nuclei_Location_Center_Y Count_Nuclei"
    )
    assert found.features == ("Mean_Cells_AreaShape_Area", "StDev_Nuclei_Texture_Contrast_DNA_3_00")
    assert found.cell_count == "Count_Nuclei"


def test_cellprofiler_tables_of_one_object_and_of_images() -> None:
    one = recognised(
        "ImageNumber ObjectNumber Metadata_Plate Metadata_Well AreaShape_Area Intensity_Mean_DNA "
        "Location_Center_X"
    )
    assert one.features == ("AreaShape_Area", "Intensity_Mean_DNA")
    images = recognised(
        "ImageNumber Image_Metadata_Plate Image_Metadata_Well Image_Granularity_1_DNA "
        "Image_Intensity_TotalIntensity_DNA Image_Width_DNA Image_Count_Nuclei Image_ExecutionTime_01LoadData"
    )
    assert images.features == ("Image_Granularity_1_DNA", "Image_Intensity_TotalIntensity_DNA")
    assert images.unused == ()


def test_jump_takes_all_but_metadata() -> None:
    found = recognised(
        "Metadata_Source Metadata_Plate Metadata_Well Metadata_JCP2022 Metadata_pert_type "
        "Cells_AreaShape_Area Image_Granularity_1_DNA X_1 Image_Count_Cells"
    )
    assert found.features == ("Cells_AreaShape_Area", "Image_Granularity_1_DNA", "X_1")
    assert set(found.metadata.values()) == {"Metadata_Source", "Metadata_JCP2022", "Metadata_pert_type"}


def test_deepprofiler_by_running_numbers() -> None:
    names = [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Site",
        "Metadata_TableNumber",
        "Metadata_NPZSource",
        "Compound",
        "Location_Center_X",
        *(f"efficientnet_{number}" for number in range(1, 13)),
    ]
    found = recognised(names)
    assert found.features == tuple(f"efficientnet_{number}" for number in range(1, 13))
    assert found.metadata["Compound"] == "Metadata_Compound"
    assert "Location_Center_X" not in found.metadata


def test_a_few_numbered_measurements_are_not_all() -> None:
    spectrum = [f"Granularity_{scale}" for scale in range(1, 17)]
    shapes = [f"AreaShape_{name}" for name in "abcdefghijklmnopqrst"]
    found = recognised(["Metadata_Plate", "Metadata_Well", "ObjectNumber", *spectrum, *shapes])
    assert found.features == (*spectrum, *shapes)


def test_embeddings_with_bare_keys() -> None:
    found = recognised(["source", "batch", "plate", "well", *(f"all_emb_{place}" for place in range(16))])
    assert len(found.features) == 16
    assert (found.roles["plate"], found.roles["well"]) == ("plate", "well")
    assert found.metadata == {"source": "Metadata_source", "batch": "Metadata_batch"}


@pytest.mark.parametrize("name", ["{}", "PC{}", "emb_{}", "x{:03d}"])
def test_columns_of_numbers_that_count_on(name: str) -> None:
    names = [name.format(place) for place in range(12)]
    assert recognised(["Plate", "Well", "Compound", *names]).features == tuple(names)
    assert recognised(["Plate", "Well", "Compound", *reversed(names)]).features == tuple(reversed(names))


def test_positions_and_counts_of_objects_are_told() -> None:
    names = (
        "Metadata_Plate Metadata_Well Cells_a Cells_Location_Center_X Nuclei_Children_Cells_Count ImageNumber"
    )
    found = recognised(names)
    assert (found.features, found.unused) == (("Cells_a",), ())
    assert found.positions == ("Cells_Location_Center_X", "Nuclei_Children_Cells_Count")
    assert recognised(names, feature_columns=["Cells_Location_Center_X"]).positions == (
        "Nuclei_Children_Cells_Count",
    )


def test_own_tables() -> None:
    found = recognised("Metadata_Plate Metadata_Well Metadata_Site Metadata_Cell cnn_0 cnn_1 cnn_2")
    assert found.features == ("cnn_0", "cnn_1", "cnn_2")


def test_patterns_win_but_never_name_counts() -> None:
    names = (
        "Metadata_Plate Metadata_Well Cells_a Cells_b Cells_Location_Center_X Nuclei_a ImageNumber "
        "Count_Cells"
    )
    assert recognised(names, feature_columns="Cells_*").features == ("Cells_a", "Cells_b")
    assert recognised(names, feature_columns="*").features == ("Cells_a", "Cells_b", "Nuclei_a")
    by_name = recognised(names, feature_columns=["Nuclei_a", "Cells_Location_Center_X"])
    assert by_name.features == ("Cells_Location_Center_X", "Nuclei_a")
    with pytest.raises(TableFileError, match="no feature is called 'cells_\\*'"):
        recognised(names, feature_columns="cells_*")


def test_columns_that_the_settings_name() -> None:
    names = "Barcode Position Field f_a Metadata_x"
    found = recognised(names, plate_field="metadata_barcode", well_field="Position", feature_columns="f_*")
    assert found.roles == {"plate": "Barcode", "well": "Position", "site": "Field"}
    with pytest.raises(TableFileError, match=r"no column 'Welll'; columns are: Barcode.*") as caught:
        recognised(names, well_field="Welll", feature_columns="f_*")
    assert "features.well_field" in caught.value.problems[0].remedy


def test_no_feature_at_all() -> None:
    with pytest.raises(TableFileError, match=r"no column is known to be a feature; columns are: Plate"):
        recognised("Plate Well a b Concentration")


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ("Metadata_Plate Metadata_Well", ("Metadata_Plate", "Metadata_Well")),
        ("plate WELL", ("plate", "WELL")),
        ("Plate Metadata_Plate Well", ("Metadata_Plate", "Well")),
        (
            "Image_Metadata_Plate_w1 Image_Metadata_Well_w1",
            ("Image_Metadata_Plate_w1", "Image_Metadata_Well_w1"),
        ),
        ("Plate_ID Well_ID", ("Plate_ID", "Well_ID")),
        ("Assay_Plate_Barcode Plate_Map_Name well_position", ("Assay_Plate_Barcode", "well_position")),
        ("Plate_Map_Name Well_Type", (None, None)),
        ("FileName_Foo Plate_Foo Plate_Bar Well", ("Plate_Foo", "Well")),
    ],
)
def test_what_plate_and_well_are_called(names: str, roles: tuple[str | None, str | None]) -> None:
    found = NamedColumns(names.split()).roles
    assert (found.get("plate"), found.get("well")) == roles


def test_names_and_wells_in_one_form() -> None:
    assert same_name("Image_Metadata_Compound") == same_name("metadata_compound") == "compound"
    spellings = ["a1", "A01", "A-1", "a001", "AF48", "A00", "r01c02", "7", ""]
    assert [normal_well(text) for text in spellings] == [
        *("A01", "A01", "A01", "A01", "AF48", "A00", "r01c02", "7", "")
    ]


def test_finding_files(tmp_path: Path) -> None:
    for name in ("a/P1.csv", "a/P2.csv.gz", "a/deep/P3.parquet", "a/.hidden.csv", "a/notes.md", "b[1]/x.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    def found(*patterns: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in find_feature_files(patterns, tmp_path).all]

    assert found("a") == ["a/P1.csv", "a/P2.csv.gz", "a/deep/P3.parquet"]
    assert found("a/*.csv", "a/P1.csv") == ["a/P1.csv"]
    assert found("**/*.parquet", "a/P1.csv") == ["a/deep/P3.parquet", "a/P1.csv"]
    assert found("b[1]/x.csv") == ["b[1]/x.csv"]
    assert found(str(tmp_path / "a/P1.csv")) == ["a/P1.csv"]
    assert found("a/notes.md") == ["a/notes.md"]
    with pytest.raises(TableFileError, match=r'no file is called "c/\*"; in .* there is a, b\[1\]'):
        found("c/*")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableFileError, match="empty holds no table"):
        found("empty")


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    first = find_feature_files(["a.csv"], tmp_path).fingerprint()
    (tmp_path / "a.csv").touch()
    assert find_feature_files(["a.csv"], tmp_path).fingerprint() == first
    (tmp_path / "a.csv").write_text("2")
    assert find_feature_files(["a.csv"], tmp_path).fingerprint() != first
