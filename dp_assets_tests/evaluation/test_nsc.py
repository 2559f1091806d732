"""NSC, NSCB and strict NSCB against hand-made tables, scikit-learn and the published BBBC021 counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import special_ortho_group
from sklearn.neighbors import KNeighborsClassifier

from dp_assets.evaluation.nsc import nearest_neighbour_scores
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


def _at(degrees: list[float]) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _hand_made() -> ProfileSet:
    """Six treatments on a circle, and a seventh whose label is in one batch only."""
    return profiles(
        _at([0, 1, 10, 14, 40, 60, 26.5]),
        compounds=["A", "A", "B", "C", "D", "E", "F"],
        concentrations=["1", "3", "1", "1", "1", "1", "1"],
        labels=["X", "X", "X", "Y", "Y", "X", "Z"],
        batches=["W1", "W1", "W1", "W1,W2", "W2", "W2", "W1"],
    )


def test_hand_made_answers() -> None:
    result = nearest_neighbour_scores(_hand_made(), evaluation())
    table = result.tables["treatments"].set_index("treatment")
    # Other compounds: 0 and 1 find 10 (right), 10 finds 14, 14 finds 10, 40 finds 26.5, 60 finds 40,
    # 26.5 finds 14.
    assert table["nsc"].tolist() == [True, True, False, False, False, False, False]
    assert table["nsc_neighbour"].tolist() == ["t2", "t2", "t3", "t2", "t6", "t4", "t3"]
    assert table["nsc_predicted"].tolist() == ["X", "X", "Y", "X", "Z", "Y", "Y"]
    assert table["nsc_library_size"].tolist() == [5, 5, 6, 6, 6, 6, 6]
    assert table.loc["t0", "nsc_distance"] == pytest.approx(1 - np.cos(np.deg2rad(10)))
    # Other batches, without Z: 0, 1 and 10 find 14, 14 finds 10, 40 finds 14 (right), 60 finds 14.
    assert table["nscb"].tolist()[:6] == [False, False, False, False, True, False]
    assert table["nscb"].isna().tolist() == [False] * 6 + [True]
    assert table["nscb_neighbour"].tolist() == ["t3", "t3", "t3", "t2", "t3", "t3", ""]
    assert table["nscb_library_size"].tolist() == [3, 3, 3, 5, 4, 4, 0]
    # No batch in common: 14 has nobody; 0, 1, 10 find 40; 40 and 60 find 10 (60 is right).
    assert table["nscb_strict"].isna().tolist() == [False, False, False, True, False, False, True]
    assert table["nscb_strict"].dropna().tolist() == [False, False, False, False, True]
    assert table["nscb_strict_neighbour"].tolist() == ["t4", "t4", "t4", "", "t2", "t2", ""]

    nsc, nscb, strict, drop = (score(result, name) for name in ("nsc", "nscb", "nscb_strict", "drop"))
    assert (nsc.value, nsc.n, nsc.excluded) == (pytest.approx(2 / 7), 7, {})
    assert (nscb.value, nscb.n) == (pytest.approx(1 / 6), 6)
    assert nscb.excluded == {"label in a single batch": 1}
    assert (strict.value, strict.n) == (pytest.approx(1 / 5), 5)
    assert strict.excluded == {"label in a single batch": 1, "nobody to look among (empty library)": 1}
    assert drop.value == pytest.approx(2 / 7 - 1 / 6)
    assert not drop.higher_is_better
    for found in (nsc, nscb, strict, drop):
        assert found.low <= found.value <= found.high
        assert found.unit == "treatments"
    # By chance: the X among 5 others of A are 2; of B 3 of 6; of E 3 of 6; a Y has 1 of 6, Z none.
    assert nsc.chance == pytest.approx((2 / 5 + 2 / 5 + 3 / 6 + 1 / 6 + 1 / 6 + 3 / 6 + 0) / 7)
    assert nsc.details["with_a_match_in_the_library"] == 6


def test_errors_and_confusion_of_the_hand_made_table() -> None:
    tables = nearest_neighbour_scores(_hand_made(), evaluation()).tables
    errors = tables["errors_nscb_strict"]
    assert errors["treatment"].tolist() == ["t0", "t1", "t2", "t4"]
    first = errors.iloc[0]
    assert first["library_size"] == 2
    assert (first["compound"], first["concentration"]) == ("A", "1")
    assert (first["true"], first["predicted"]) == ("X", "Y")
    assert (first["neighbour"], first["neighbour_compound"]) == ("t4", "D")
    assert first["distance"] == pytest.approx(1 - np.cos(np.deg2rad(40)))
    confusion = tables["confusion_nsc"]
    assert confusion.index.tolist() == confusion.columns.tolist() == ["X", "Y", "Z"]
    np.testing.assert_array_equal(confusion, [[2, 2, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(tables["confusion_nscb"], [[0, 4], [1, 1]])
    labels = tables["labels"].set_index("label")
    assert labels["batches"].to_dict() == {"X": 2, "Y": 2, "Z": 1}
    assert labels["in_nscb"].to_dict() == {"X": True, "Y": True, "Z": False}


def test_equally_near_neighbours() -> None:
    table = profiles(_at([0, 10, -10, 10, 90]), compounds=list("ABCDE"), labels=["X", "Y", "X", "X", "Y"])
    found = nearest_neighbour_scores(table, evaluation())
    rows = found.tables["treatments"]
    assert rows["nsc_neighbour"].tolist() == ["t1", "t3", "t0", "t1", "t1"]
    # 0 has three equally near ones, 90 has two.
    assert score(found, "nsc").details["ties"] == 2


def test_several_labels_are_right_if_one_is_shared() -> None:
    table = profiles(
        _at([0, 5, 50, 55]),
        compounds=list("ABCD"),
        labels=["a|b (c)+", "b (c)+|d", "b c", "a.|b"],
        batches=["1", "2", "1", "2"],
    )
    found = nearest_neighbour_scores(table, evaluation())
    assert found.tables["treatments"]["nsc"].tolist() == [True, True, False, False]
    # a, d, b c, a. and b are in one batch each; "b (c)+" is in two.
    assert score(found, "nscb").reason == "only one label occurs in two batches"
    assert score(nearest_neighbour_scores(table, evaluation(separator="")), "nsc").value == 0


def test_labels_left_out_by_name_are_no_neighbours_either() -> None:
    table = profiles(
        _at([0, 10, 12, 14, 90, 95]),
        compounds=list("ABCDEF"),
        labels=["X", "Z", "Z", "X", "Y", "Y"],
        batches=["1", "2", "1", "2", "1", "2"],
    )
    found = nearest_neighbour_scores(table, evaluation(excluded_labels=("z",)))
    assert score(found, "nsc").n == 6
    assert score(found, "nscb").excluded == {"label left out by the protocol": 2}
    assert score(found, "nscb").value == 1
    assert score(nearest_neighbour_scores(table, evaluation()), "nscb").value < 1


def test_who_takes_no_part() -> None:
    table = profiles(
        _at([0, 1, 2, 50, 51, 52, 53]),
        compounds=["A", "B", "", "C", "D", "E", "F"],
        labels=["X", "X", "X", "Y", "Y", "", "Y"],
        batches=["1", "2", "1", "1", "2", "1", ""],
        controls=[False] * 6 + [True],
    )
    found = nearest_neighbour_scores(table, evaluation())
    nsc = score(found, "nsc")
    assert (nsc.value, nsc.n, nsc.excluded) == (1, 4, {"no label": 1, "no compound": 1})
    assert len(found.tables["treatments"]) == 6
    batchless = profiles(
        table.features[:5], compounds=list("ABCDE"), labels=list("XXXYY"), batches=["1", "2", "", "1", "2"]
    )
    assert score(nearest_neighbour_scores(batchless, evaluation()), "nscb").excluded == {"no batch": 1}


@pytest.mark.parametrize(
    ("roles", "nsc", "nscb"),
    [
        ({"compounds": "ABCD"}, "no treatment has a label", "no treatment has a label"),
        ({"labels": "XXYY"}, "which compound", "which compound"),
        ({"labels": "XXXX", "compounds": "ABCD"}, "the same label", "the same label"),
        ({"labels": "XXYY", "compounds": "AAAA"}, "of the same compound", "of the same compound"),
        ({"labels": "XXYY", "compounds": "ABCD"}, "", "which batch"),
        ({"labels": "XXYY", "compounds": "ABCD", "batches": "1111"}, "", "no label occurs in two batches"),
        ({"labels": "XXYY", "compounds": "ABCD", "batches": ["1,2"] * 4}, "", "has an empty library"),
    ],
)
def test_reasons_why_it_does_not_apply(roles: dict[str, str], nsc: str, nscb: str) -> None:
    found = nearest_neighbour_scores(profiles(np.eye(4), **roles), evaluation())
    reasons = {one.name: one.reason for one in found.scores}
    assert nsc in reasons["nsc"]
    assert (reasons["nsc"] == "") == (nsc == "")
    assert nscb in reasons["nscb"]
    assert nscb in reasons["nscb_strict"]
    assert nscb in reasons["drop"]
    assert found.tables["treatments"]["nscb"].isna().all()


def test_no_treatments_at_all() -> None:
    found = nearest_neighbour_scores(profiles(np.empty((0, 3))), evaluation())
    assert {one.reason for one in found.scores if one.name != "drop"} == {"no treatment has a label"}


def _random(seed: int) -> ProfileSet:
    rng = np.random.default_rng(seed)
    compound = rng.integers(25, size=70)
    label = compound % 6
    batches = [",".join(f"W{i}" for i in rng.permutation(4)[: 1 + rng.integers(2)]) for _ in range(70)]
    return profiles(
        rng.normal(size=(6, 8))[label] + 0.8 * rng.normal(size=(70, 8)),
        compounds=[f"c{i}" for i in compound],
        labels=[f"l{i}" for i in label],
        batches=batches,
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_classifier_for_every_treatment_says_the_same(seed: int) -> None:
    table = _random(seed)
    tables = nearest_neighbour_scores(table, evaluation()).tables["treatments"]
    for name in ("nsc", "nscb", "nscb_strict"):
        for row in range(len(table)):
            library = table.compounds != table.compounds[row]
            own = set(table.batches[row].split(","))
            if name == "nscb":
                # "W1,W0" is "W0,W1": the order says only which plate came first.
                library &= np.array([own != set(text.split(",")) for text in table.batches])
            if name == "nscb_strict":
                library &= np.array([not own & set(text.split(",")) for text in table.batches])
            classifier = KNeighborsClassifier(1, algorithm="brute", metric="cosine")
            classifier.fit(table.features[library], table.labels[library].astype(str))
            predicted = classifier.predict(table.features[[row]])[0]
            assert tables.loc[row, f"{name}_predicted"] == predicted
            assert tables.loc[row, name] == (predicted == table.labels[row])
            assert tables.loc[row, f"{name}_library_size"] == library.sum()


@given(st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_the_order_of_features_and_rotations_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = _random(seed)
    before = nearest_neighbour_scores(table, evaluation(bootstraps=10))
    rotation = special_ortho_group.rvs(8, random_state=rng)
    for features in (table.features[:, rng.permutation(8)], table.features @ rotation):
        turned = profiles(features, compounds=table.compounds, labels=table.labels, batches=table.batches)
        after = nearest_neighbour_scores(turned, evaluation(bootstraps=10))
        assert [one.value for one in after.scores] == [one.value for one in before.scores]
        pd.testing.assert_frame_equal(after.tables["treatments"], before.tables["treatments"])


# What the published notebook printed for its errors: compound, concentration, treatments in the library.
_PUBLISHED_NSC = [("ALLN", 3.0, 101), ("colchicine", 0.03, 102), ("cytochalasin D", 0.3, 102)]
_PUBLISHED_NSCB = [
    ("ALLN", 3.0, 86),
    ("ALLN", 100.0, 86),
    ("MG-132", 3.0, 86),
    ("colchicine", 0.03, 74),
    ("cytochalasin B", 30.0, 74),
    ("cytochalasin D", 0.3, 86),
    ("etoposide", 10.0, 63),
    ("latrunculin B", 1.0, 74),
    ("latrunculin B", 3.0, 74),
    ("vincristine", 0.003, 63),
    ("vincristine", 1.0, 63),
    ("vincristine", 3.0, 63),
]


def _bbbc021(shared: Path) -> pd.DataFrame:
    """The annotated treatments of BBBC021 with their batches, in the order of the image table."""
    images = pd.read_csv(shared / "reference" / "BBBC021_v1_image.csv.gz")
    annotated = images.rename(
        columns={
            "Image_Metadata_Compound": "compound",
            "Image_Metadata_Concentration": "concentration",
            "Image_Metadata_Plate_DAPI": "plate",
        }
    ).merge(pd.read_csv(shared / "reference" / "BBBC021_v1_moa.csv"), on=["compound", "concentration"])
    assert len(annotated) == 3848
    annotated["batch"] = annotated["plate"].str.split("_").str[0]
    treated = annotated[annotated["compound"] != "DMSO"]
    return (
        treated.groupby(["compound", "concentration", "moa"])["batch"]
        .agg(lambda batches: ",".join(dict.fromkeys(batches)))
        .reset_index()
    )


def _planted(table: pd.DataFrame, wrong: list[tuple[str, float, int]]) -> ProfileSet:
    """Every mechanism has a direction of its own; those in `wrong` lean more to another mechanism."""
    moas = sorted(table["moa"].unique())
    rng = np.random.default_rng(0)
    number = table["moa"].map(moas.index).to_numpy()
    noise, own = 0.02 * rng.normal(size=(len(table), 12)), np.zeros((len(table), len(wrong)))
    features = np.concatenate([np.eye(12)[number], noise, own], axis=1)
    for place, (compound, concentration, _) in enumerate(wrong):
        (row,) = table.index[(table["compound"] == compound) & (table["concentration"] == concentration)]
        features[row, moas.index("Epithelial")] = 2
        # A direction of its own: two that are wrong are not each other's nearest.
        features[row, 24 + place] = 3
    return profiles(
        features,
        treatments=table["compound"] + "@" + table["concentration"].astype(str),
        compounds=table["compound"],
        concentrations=table["concentration"].astype(str),
        labels=table["moa"],
        batches=table["batch"],
    )


def test_published_counts_of_bbbc021(shared: Path) -> None:
    table = _bbbc021(shared)
    assert (len(table), table["compound"].nunique(), table["moa"].nunique()) == (103, 38, 12)
    protocol = evaluation(separator="", excluded_labels=("Cholesterol-lowering", "Kinase inhibitors"))
    perfect = nearest_neighbour_scores(_planted(table, []), protocol)
    assert (score(perfect, "nsc").value, score(perfect, "nsc").n) == (1, 103)
    assert score(perfect, "nscb").n == 92
    assert score(perfect, "nscb").excluded == {"label in a single batch": 11}
    unnamed = nearest_neighbour_scores(_planted(table, []), evaluation(separator=""))
    assert score(unnamed, "nscb") == score(perfect, "nscb")

    found = nearest_neighbour_scores(_planted(table, _PUBLISHED_NSC), protocol)
    assert score(found, "nsc").details["correct"] == 100
    assert round(score(found, "nsc").value, 3) == 0.971
    errors = found.tables["errors_nsc"]
    listed = zip(
        errors["compound"], errors["concentration"].astype(float), errors["library_size"], strict=True
    )
    assert sorted(listed) == _PUBLISHED_NSC

    found = nearest_neighbour_scores(_planted(table, _PUBLISHED_NSCB), protocol)
    assert score(found, "nscb").details["correct"] == 80
    assert round(score(found, "nscb").value, 3) == 0.870
    errors = found.tables["errors_nscb"]
    listed = zip(
        errors["compound"], errors["concentration"].astype(float), errors["library_size"], strict=True
    )
    assert sorted(listed) == sorted(_PUBLISHED_NSCB)
    assert found.tables["confusion_nscb"].loc["Actin disruptors", "Epithelial"] == 4


def test_bbbc021_seen_through_its_batches_fails_only_where_batches_are_kept_apart(shared: Path) -> None:
    """With one direction per batch text, NSCB has nothing but chance to go by."""
    table = _bbbc021(shared)
    texts = sorted(table["batch"].unique())
    rng = np.random.default_rng(1)
    number = table["batch"].map(texts.index).to_numpy()
    features = np.concatenate([np.eye(len(texts))[number], 0.05 * rng.normal(size=(103, 20))], axis=1)
    found = nearest_neighbour_scores(
        profiles(features, compounds=table["compound"], labels=table["moa"], batches=table["batch"]),
        evaluation(separator=""),
    )
    nsc, nscb = score(found, "nsc"), score(found, "nscb")
    neighbours = found.tables["treatments"]
    same = neighbours["nsc_neighbour"].map(dict(zip(neighbours["treatment"], table["batch"], strict=True)))
    several = table.groupby("batch")["compound"].transform("nunique") > 1
    assert (same == table["batch"])[several].all()
    assert abs(nscb.value - nscb.chance) < 0.15
    assert score(found, "drop").value == pytest.approx(nsc.value - nscb.value)
    assert score(found, "drop").low > 0
