"""Which cells train and which validate, checked against a plain join in pandas."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import TrainingDataError
from dp_assets.storage.schemas import CELL_KEY, TRAINING_SET
from dp_assets.training.training_set import (
    TRAINING,
    VALIDATION,
    Partition,
    TrainingSet,
    build_training_set,
    images_of,
    labels_of,
    plates_in_use,
)

PARTITION = Partition("Treatment", "Split", ("train", "0"), ("test",))
Image = tuple[str, str, str, str]  # well, site, treatment, split


def listing(plate: str, cells: list[tuple[str, str, str]]) -> pa.Table:
    """The cells of a plate: well, site and flat channels of each."""
    rows = [(plate, well, site, str(number), flat) for number, (well, site, flat) in enumerate(cells)]
    names = (*CELL_KEY, "flat_channels")
    return pa.table({name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(names)})


def annotations(plate: str, images: list[Image]) -> pa.Table:
    names = ["Metadata_Well", "Metadata_Site", "Metadata_Treatment", "Metadata_Split"]
    columns = {name: pa.array([image[n] for image in images], pa.string()) for n, name in enumerate(names)}
    return pa.table({"Metadata_Plate": pa.array([plate] * len(images), pa.string()), **columns})


def build(plates: dict[str, list[Image]], cells: dict[str, list[tuple[str, str, str]]]) -> TrainingSet:
    return build_training_set(
        {plate: annotations(plate, images) for plate, images in plates.items()},
        {plate: listing(plate, found) for plate, found in cells.items()},
        PARTITION,
    )


IMAGES = [("A01", "1", "b", "train"), ("A02", "1", "a", "0"), ("A03", "1", "a", "test")]


def test_cells_get_class_and_split_of_their_image() -> None:
    images = [*IMAGES, ("A04", "1", "c", "unused"), ("A05", "1", "z", "test"), ("A06", "1", "", "train")]
    cells = [(well, "1", "") for well in ("A03", "A01", "A04", "A05", "A02", "A01", "A06", "A09")]
    found = build({"P1": images}, {"P1": cells})
    assert found.classes == ("a", "b")  # sorted; c is not used, z is only validated on
    assert TRAINING_SET.problems(found.cells) == ()
    columns = ["Metadata_Well", "Metadata_Cell", "target", "split", "class_index", "store_row"]
    assert [tuple(row.values()) for row in found.cells.select(columns).to_pylist()] == [
        ("A03", "0", "a", VALIDATION, 0, 0),
        ("A01", "1", "b", TRAINING, 1, 1),
        ("A02", "4", "a", TRAINING, 0, 4),
        ("A01", "5", "b", TRAINING, 1, 5),
    ]
    assert found.part(VALIDATION)["store_row"].to_pylist() == [0]
    assert found.left_out == {}


def test_flat_cells_are_left_out_and_counted() -> None:
    cells = [
        ("A01", "1", ""),
        ("A01", "1", "DNA"),
        ("A02", "1", "DNA,RNA"),
        ("A02", "1", "DNA"),
        ("A02", "1", ""),
    ]
    found = build({"P1": IMAGES}, {"P1": [*cells, ("A09", "1", "DNA")]})
    assert found.left_out == {"DNA": 2, "DNA,RNA": 1}
    assert found.cells["store_row"].to_pylist() == [0, 4]


IMAGE = st.tuples(
    st.sampled_from(["A01", "A02", "A03", "A04"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from(["train", "0", "test", "other"]),
)
IMAGE_LIST = st.lists(IMAGE, max_size=8, unique_by=lambda image: image[:2])
CELLS = st.lists(
    st.tuples(
        st.sampled_from(["A01", "A02", "A03"]), st.sampled_from(["1", "2"]), st.sampled_from(["", "RNA"])
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(plates=st.tuples(IMAGE_LIST, IMAGE_LIST), cells=st.tuples(CELLS, CELLS))
def test_against_a_plain_loop(
    plates: tuple[list[Image], list[Image]], cells: tuple[list[tuple[str, str, str]], ...]
) -> None:
    splits = {"train": TRAINING, "0": TRAINING, "test": VALIDATION}
    trained = {t for images in plates for *_, t, s in images if splits.get(s) == TRAINING and t}
    classes = sorted(trained)
    expected = [
        (plate, well, treatment, splits[split], classes.index(treatment), row)
        for plate, images, found in zip(("P1", "P2"), plates, cells, strict=True)
        for row, (well, site, flat) in enumerate(found)
        for image_well, image_site, treatment, split in images
        if (image_well, image_site) == (well, site) and split in splits and treatment in trained and not flat
    ]
    usable = len(classes) >= 2 and {row[4] for row in expected if row[3] == TRAINING} == set(
        range(len(classes))
    )
    arguments = dict(zip(("P1", "P2"), plates, strict=True)), dict(zip(("P1", "P2"), cells, strict=True))
    if not usable:
        with pytest.raises(TrainingDataError):
            build(*arguments)
        return
    found = build(*arguments)
    columns = ["Metadata_Plate", "Metadata_Well", "target", "split", "class_index", "store_row"]
    assert [tuple(row.values()) for row in found.cells.select(columns).to_pylist()] == expected
    assert list(found.classes) == classes


def test_only_plates_with_images_of_the_split_are_needed() -> None:
    plates = {"P1": IMAGES, "P2": [("A01", "1", "a", "other")], "P3": [("A01", "1", "a", "test")]}
    tables = {plate: annotations(plate, images) for plate, images in plates.items()}
    assert plates_in_use(tables, PARTITION) == ["P1", "P3"]
    cells = [("A01", "1", ""), ("A02", "1", "")]
    found = build(plates, {"P1": cells, "P3": cells})
    assert found.cells["Metadata_Plate"].to_pylist() == ["P1", "P1", "P3"]


@pytest.mark.parametrize(
    ("images", "cells", "what"),
    [
        ([], [], r"no image has Split in \['train', '0', 'test'\]; the index has \[\]"),
        ([("A01", "1", "a", "x")], [], r"the index has \['x'\]"),
        (IMAGES[:1], [("A01", "1", "")], "there is only one class: b"),
        (IMAGES[2:], [("A03", "1", "")], "no training image has a class"),
        (IMAGES, [("A01", "1", "")], "classes without training cells: a"),
        (
            IMAGES,
            [("A01", "1", ""), ("A02", "1", "DNA")],
            r"classes without training cells: a \(cells left out: 1 flat in DNA\)",
        ),
    ],
)
def test_sets_that_cannot_be_trained_on(images: list[Image], cells: list, what: str) -> None:
    with pytest.raises(TrainingDataError, match=what):
        build({"P1": images}, {"P1": cells})


def test_one_class_is_enough_where_none_are_learnt() -> None:
    given = {"P1": annotations("P1", IMAGES[:1])}, {"P1": listing("P1", [("A01", "1", "")])}, PARTITION
    found = build_training_set(*given, least_classes=1)
    assert found.classes == ("b",)
    assert labels_of(found.cells).tolist() == [0]
    with pytest.raises(TrainingDataError, match="there is only one class: b"):
        build_training_set(*given)
    nothing = {"P1": annotations("P1", IMAGES[2:])}, {"P1": listing("P1", [("A03", "1", "")])}, PARTITION
    with pytest.raises(TrainingDataError, match="no training image has a class"):
        build_training_set(*nothing, least_classes=1)


@pytest.mark.parametrize(
    "partition", [Partition("Dose", "Split", ("train",), ()), Partition("Treatment", "Fold", (), ())]
)
def test_columns_that_the_index_lacks(partition: Partition) -> None:
    missing = "Dose" if partition.target == "Dose" else "Fold"
    with pytest.raises(TrainingDataError, match=f"the image index has no column {missing}; it has") as caught:
        build_training_set(
            {"P1": annotations("P1", IMAGES)},
            {"P1": listing("P1", [])},
            partition,
        )
    assert caught.value.problems[0].where == "train.partition (plate P1)"


def with_density(table: pa.Table, values: list[str]) -> pa.Table:
    return table.append_column("Metadata_Density", pa.array(values, pa.string()))


TWO = Partition("Treatment", "Split", ("train", "0"), ("test",), ("Density",))


def test_several_targets_have_a_head_each() -> None:
    images = [*IMAGES, ("A04", "1", "a", "train"), ("A05", "1", "b", "test"), ("A06", "1", "b", "train")]
    density = ["low", "high", "low", "", "rare", "middle"]
    cells = [(f"A0{number}", "1", "") for number in (1, 2, 3, 4, 5, 6, 4)] + [("A04", "1", "DNA")]
    found = build_training_set(
        {"P1": with_density(annotations("P1", images), density)}, {"P1": listing("P1", cells)}, TWO
    )
    assert found.heads == (("Treatment", ("a", "b")), ("Density", ("high", "low", "middle")))
    assert found.classes == ("a", "b")
    columns = ["Metadata_Well", "target", "class_index", "target_2", "class_index_2", "store_row"]
    assert [tuple(row.values()) for row in found.cells.select(columns).to_pylist()] == [
        ("A01", "b", 1, "low", 1, 0),
        ("A02", "a", 0, "high", 0, 1),
        ("A03", "a", 0, "low", 1, 2),
        ("A06", "b", 1, "middle", 2, 5),
    ]
    # A04 has no density, and no training image has that of A05.
    assert (found.unlabelled, found.left_out) == ({"Density": 4}, {})
    assert TRAINING_SET.problems(found.cells) == ()
    assert labels_of(found.cells).tolist() == [[1, 1], [0, 0], [0, 1], [1, 2]]
    assert labels_of(found.cells.drop_columns(["target_2", "class_index_2"])).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("density", "what"),
    [
        (["", "", ""], r"no training image has a class \(cells left out: 2 without a value of Density"),
        (["low", "low", "low"], "there is only one class: low"),
        (["low", "", "high"], r"classes without training cells: a \(cells left out: 1 without a value of"),
    ],
)
def test_every_head_needs_two_classes(density: list[str], what: str) -> None:
    cells = [("A01", "1", ""), ("A02", "1", "")]
    table = with_density(annotations("P1", IMAGES), density)
    with pytest.raises(TrainingDataError, match=what):
        build_training_set({"P1": table}, {"P1": listing("P1", cells)}, TWO)


def test_columns_that_are_no_targets_do_not_belong_into_a_training_set() -> None:
    found = build({"P1": IMAGES}, {"P1": [("A01", "1", ""), ("A02", "1", "")]})
    for name, kind in (("target_2", pa.int32()), ("class_index_3", pa.string()), ("notes", pa.string())):
        wrong = found.cells.append_column(name, pa.nulls(2, kind))
        assert "does not belong here" in TRAINING_SET.problems(wrong)[0].what


def test_cells_know_their_images() -> None:
    cells = [(well, "1", "") for well in ("A02", "A01", "A02", "A03")]
    numbers, keys = images_of(listing("P1", cells))
    assert numbers.tolist() == [0, 1, 0, 2]
    assert keys == [("P1", "A02", "1"), ("P1", "A01", "1"), ("P1", "A03", "1")]
