"""The whole way from raw to comparable profiles, against the formulas written out."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.linalg import inv, sqrtm

from dp_assets.config.errors import ConfigurationError, StoreError
from dp_assets.config.profile_sections import FeatureSelectionSettings
from dp_assets.config.protocol import Correction, Normalization, ProfileProtocol
from dp_assets.profiling.correction import correct
from dp_assets.storage.profile_columns import BATCH, CONTROL, ROLES, TREATMENT
from dp_assets.storage.schemas import CORRECTED_SITES, PLATE, PROFILES, WELL
from dp_assets.storage.tables import read_provenance, with_provenance

WIDTH = 12
PLATES = ("w1_a", "w1_b", "w2_a", "w2_b")
WELLS = 8


def raw(seed: int = 0, controls: int = 3, sites: int = 1) -> pa.Table:
    """Four plates of two batches, eight wells each; the first `controls` wells of a plate are controls."""
    rng = np.random.default_rng(seed)
    rows = [(p, w, s) for p in PLATES for w in range(WELLS) for s in range(sites)]
    shift = {plate: rng.normal(0, 3, WIDTH) for plate in PLATES}
    mixing = rng.normal(size=(WIDTH, WIDTH))
    values = np.array([shift[plate] + rng.normal(size=WIDTH) @ mixing for plate, _, _ in rows])
    metadata = {
        PLATE: [plate for plate, _, _ in rows],
        WELL: [f"A{well:02}" for _, well, _ in rows],
        **({"Metadata_Site": [str(site) for _, _, site in rows]} if sites > 1 else {}),
        **{name: [""] * len(rows) for name in ROLES},
    }
    metadata[TREATMENT] = ["DMSO" if well < controls else f"t{well}" for _, well, _ in rows]
    metadata[CONTROL] = ["true" if well < controls else "false" for _, well, _ in rows]
    metadata[BATCH] = [plate[:2] for plate, _, _ in rows]
    arrays = {name: pa.array(column, pa.string()) for name, column in metadata.items()}
    arrays |= {f"net_{n}": pa.array(values[:, n].astype(np.float32)) for n in range(WIDTH)}
    return with_provenance(pa.table(arrays), model="m1")


def protocol(
    correction: str = "none",
    regularization: float = 0.01,
    normalization: str = "none",
    selection: tuple[str, ...] = (),
    **of_normalization: str,
) -> ProfileProtocol:
    return ProfileProtocol(
        normalization=Normalization(method=normalization, **of_normalization),
        correction=Correction(method=correction, regularization=regularization),
        feature_selection=FeatureSelectionSettings(operations=selection, missing_cutoff=0),
    )


def matrix(table: pa.Table) -> np.ndarray:
    names = [name for name in table.column_names if not name.startswith("Metadata_")]
    return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float64)


def mask(table: pa.Table) -> np.ndarray:
    return np.array(table[CONTROL].to_pylist()) == "true"


def covariance(rows: np.ndarray) -> np.ndarray:
    return rows.T @ rows / len(rows)


def with_value(table: pa.Table, row: int, name: str, value: float) -> pa.Table:
    column = table[name].to_numpy().copy()
    column[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(column, pa.float32()))


def test_nothing_asked_nothing_changed() -> None:
    table = raw()
    corrected = correct(table, protocol())
    assert corrected.table.equals(table, check_metadata=True)
    facts = corrected.facts
    assert (facts.correction, facts.features_before, facts.features_after) == ("none", WIDTH, WIDTH)
    assert facts.control_wells == dict.fromkeys(PLATES, 3)
    assert facts.controls_by_batch == {"w1": 6, "w2": 6}
    assert facts.plates_without_controls == ()
    assert math.isnan(facts.whitened_mean)
    assert facts.as_dict()["whitened_mean"] is None


@pytest.mark.parametrize("method", ["sphering", "whitening"])
def test_whitened_by_the_formula(method: str) -> None:
    table, regularization = raw(1), 0.05
    corrected = correct(table, protocol(method, regularization))
    features, controls = matrix(table), matrix(table)[mask(table)]
    values, vectors = np.linalg.eigh(np.cov(controls.T, ddof=0))
    straight = (features - controls.mean(axis=0)) @ vectors @ np.diag((values + regularization) ** -0.5)
    expected = straight @ vectors.T if method == "sphering" else straight[:, ::-1]
    found = matrix(corrected.table)
    if method == "whitening":
        expected *= np.sign((expected * found).sum(axis=0))  # the sign of an axis is free
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert corrected.table.schema.field(-1).type == pa.float32()
    facts = corrected.facts
    assert facts.largest_eigenvalue == pytest.approx(values[-1])
    assert facts.rank == 11  # twelve controls
    assert facts.whitened_mean < 1e-6
    assert facts.whitened_covariance < 1e-6
    assert facts.regularization == regularization
    assert facts.warnings == ()
    names = [name for name in corrected.table.column_names if not name.startswith("Metadata_")]
    assert names == [f"{'net' if method == 'sphering' else 'pc'}_{n}" for n in range(WIDTH)]


@pytest.mark.parametrize(("regularization", "compat"), [(1.0, False), (0.1, False), (0.1, True)])
def test_tvn_is_whitening_then_coral(regularization: float, compat: bool) -> None:
    table = raw(2)
    asked = protocol("tvn", regularization)
    asked = asked.model_copy(update={"correction": asked.correction.model_copy(update={"compat": compat})})
    corrected = correct(table, asked)
    white = matrix(correct(table, protocol("whitening", regularization)).table)
    controls, batches = mask(table), np.array(table[BATCH].to_pylist())
    identity = regularization * np.eye(WIDTH)
    target = np.real(sqrtm(covariance(white[controls]) + identity))
    expected = np.empty_like(white)
    for batch in ("w1", "w2"):
        rows = batches == batch
        added = np.eye(WIDTH) if compat else identity
        own = np.real(sqrtm(covariance(white[rows & controls]) + added))
        expected[rows] = white[rows] @ inv(own) @ target
    np.testing.assert_allclose(matrix(corrected.table), expected, atol=1e-5 if regularization == 1 else 1e-4)
    assert np.abs(expected - white).max() > 0.05
    assert corrected.facts.whitened_covariance < 1e-6
    assert corrected.facts.batches_unaligned == ()


def test_normalize_then_select_then_sphere() -> None:
    """The order shows: the correlation is that of normalized features, and the controls end up white."""
    table = raw(3)
    twin = pa.array(table["net_0"].to_numpy() * 5 + 2 + 0.01 * table["net_1"].to_numpy(), pa.float32())
    table = table.append_column("net_twin", twin)
    corrected = correct(
        table,
        protocol(
            "sphering", 1e-3, "standardize", ("variance_threshold", "correlation_threshold"), by="plate"
        ),
    )
    facts = corrected.facts
    assert facts.dropped == {"variance_threshold": 0, "correlation_threshold": 1}
    assert (facts.features_before, facts.features_after) == (WIDTH + 1, WIDTH)
    assert facts.references == dict.fromkeys(PLATES, 3)
    controls = matrix(corrected.table)[mask(table)]
    assert np.abs(controls.mean(axis=0)).max() < 1e-6
    assert np.linalg.eigvalsh(covariance(controls)).max() <= 1 + 1e-6
    assert corrected.table.column_names[: len(ROLES) + 2] == table.column_names[: len(ROLES) + 2]
    assert read_provenance(corrected.table.schema) == {"model": "m1"}
    PROFILES.enforce(corrected.table)


def test_sites_count_as_profiles_and_wells_as_wells() -> None:
    table = raw(4, controls=1, sites=3)
    corrected = correct(table, protocol("sphering", 0.1, "standardize"))
    assert corrected.facts.control_wells == dict.fromkeys(PLATES, 1)
    assert corrected.facts.plates_without_controls == PLATES
    assert corrected.facts.controls == 12
    CORRECTED_SITES.enforce(corrected.table)


def test_plates_with_few_controls_are_told() -> None:
    table = raw(5)
    plates, wells = np.array(table[PLATE].to_pylist()), np.array(table[WELL].to_pylist())
    control = mask(table) & ~((plates == "w2_a") | ((plates == "w2_b") & (wells != "A00")))
    table = table.set_column(
        table.column_names.index(CONTROL), CONTROL, pa.array(["true" if c else "false" for c in control])
    )
    corrected = correct(table, protocol("tvn", 1.0))
    assert corrected.facts.control_wells == {"w1_a": 3, "w1_b": 3, "w2_a": 0, "w2_b": 1}
    assert corrected.facts.plates_without_controls == ("w2_a", "w2_b")
    assert corrected.facts.batches_unaligned == ("w2",)
    assert corrected.facts.warnings == ("batches with fewer than two controls were not aligned: w2",)
    with pytest.raises(ConfigurationError, match="2 of 4 plates: w2_a, w2_b"):
        correct(table, protocol("sphering", 1.0, "standardize"))


@pytest.mark.parametrize(("controls", "words"), [(0, "are none"), (1, "is one")])
def test_without_controls_there_is_nothing_to_learn_from(controls: int, words: str) -> None:
    table = raw(6).slice(0, WELLS)
    roles = ["true"] * controls + ["false"] * (WELLS - controls)
    table = table.set_column(table.column_names.index(CONTROL), CONTROL, pa.array(roles))
    with pytest.raises(ConfigurationError, match=words) as caught:
        correct(table, protocol("sphering"))
    assert "profiles.control_values" in str(caught.value)
    assert correct(table, protocol("none", normalization="standardize", reference="all")).table.num_rows == 8


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_values_are_named_or_dropped(bad: float) -> None:
    table = with_value(raw(7), 9, "net_3", bad)
    with pytest.raises(StoreError, match=r"1 features .* in 1 of 32 profiles: net_3 in w1_b/A01"):
        correct(table, protocol("sphering"))
    corrected = correct(table, protocol("sphering", selection=("drop_na_columns",)))
    assert "net_3" not in corrected.table.column_names
    assert corrected.facts.dropped == {"drop_na_columns": 1}
    assert np.isfinite(matrix(corrected.table)).all()


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(StoreError, match="there are 0 profiles with 12 features"):
        correct(raw().slice(0, 0), protocol())
    with pytest.raises(StoreError, match="there are 32 profiles with 0 features"):
        correct(raw().select([PLATE, WELL, *ROLES]), protocol())


def test_dead_units_survive_everything() -> None:
    table = raw(8)
    index = table.column_names.index("net_5")
    values = np.where(mask(table), 0, np.random.default_rng(0).random(table.num_rows) < 0.2)
    table = table.set_column(index, "net_5", pa.array(values.astype(np.float32)))
    for method in ("standardize", "robustize", "mad_robustize"):
        for correction in ("whitening", "sphering", "tvn"):
            corrected = correct(table, protocol(correction, 0.01, method))
            assert np.abs(matrix(corrected.table)).max() < 1e3
            assert corrected.facts.unscaled == dict.fromkeys(PLATES, 1)
            assert corrected.facts.warnings[0].startswith("up to 1 features do not vary")
            assert corrected.facts.whitened_covariance < 1e-6


def test_a_weak_lambda_is_told() -> None:
    table = with_value(raw(9), 0, "net_0", 1e5)
    warnings = correct(table, protocol("sphering", 1e-6)).facts.warnings
    assert len(warnings) == 1
    assert "lambda 1e-06 is less than 1e-06 of the largest eigenvalue" in warnings[0]


def test_facts_are_json() -> None:
    facts = correct(raw(), protocol("tvn", 1.0, "mad_robustize", ("variance_threshold",))).facts.as_dict()
    assert json.loads(json.dumps(facts, allow_nan=False))["control_wells"] == dict.fromkeys(PLATES, 3)
