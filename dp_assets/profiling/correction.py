"""From raw profiles to comparable ones: one scale, selected features, batches corrected against the controls.

The order is that of the profiling recipes for Cell Painting: normalize, select features, then sphere.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ConfigurationError, StoreError
from dp_assets.config.protocol import Correction, Normalization, ProfileProtocol
from dp_assets.profiling.control_spectrum import ControlSpectrum, control_spectrum
from dp_assets.profiling.coral import align_batches
from dp_assets.profiling.correction_facts import CorrectionFacts, control_profiles, control_wells
from dp_assets.profiling.feature_selection import MINIMUM_VARIANCE, drop_missing, select_features
from dp_assets.profiling.normalization import normalize_features
from dp_assets.profiling.profile_tables import feature_array, feature_names, metadata_names
from dp_assets.profiling.whitening import SMALL_REGULARIZATION, Form, Whitening
from dp_assets.storage.profile_columns import BATCH, CONTROL, IS_CONTROL, TREATMENT
from dp_assets.storage.schemas import PLATE, WELL

_FORMS: dict[str, Form] = {"whitening": "pca", "tvn": "pca", "sphering": "zca"}
_SHOWN = 5


@dataclass(frozen=True)
class Corrected:
    """Comparable profiles.

    Attributes
    ----------
    table : the metadata columns and provenance of the raw profiles, float32 features. "sphering" keeps the
        names of features; after "whitening" and "tvn" they are `pc_0`, `pc_1`, ... (see `Whitening`).
    facts : what was done.
    """

    table: pa.Table
    facts: CorrectionFacts


@dataclass(frozen=True)
class Prepared:
    """Normalized profiles of the selected features, ready for any correction.

    Attributes
    ----------
    table : the raw profiles.
    names : of the selected features.
    features : (rows, features) float64.
    is_control : (rows,) bool.
    facts : of what has been done so far.
    """

    table: pa.Table
    names: list[str]
    features: np.ndarray
    is_control: np.ndarray
    facts: CorrectionFacts

    @cached_property
    def spectrum(self) -> ControlSpectrum:
        """Of the controls; the same for every lambda."""
        return control_spectrum(self.features[self.is_control])


def correct(table: pa.Table, protocol: ProfileProtocol) -> Corrected:
    """Normalize, select features, and correct against the controls, as the protocol says.

    Parameters
    ----------
    table : raw profiles of sites or wells with the role columns (`storage.profile_columns`).

    Raises
    ------
    StoreError : a feature is not a finite number somewhere, and "drop_na_columns" did not take it away.
    ConfigurationError : too few controls or profiles for what the protocol asks, or no feature is left.
    """
    return apply_correction(prepare(table, protocol), protocol.correction)


def prepare(table: pa.Table, protocol: ProfileProtocol) -> Prepared:
    """Normalize and select features; parameters and errors as for `correct`."""
    names = np.array(feature_names(table), object)
    _require_profiles(table, len(names))
    features = feature_array(table, list(names)).astype(np.float64)
    features[~np.isfinite(features)] = np.nan
    settings = protocol.feature_selection
    present = drop_missing(features, settings)
    features, left = features[:, present.kept], names[present.kept]
    _require_finite(features, left, table)
    is_control = np.array([value == IS_CONTROL for value in table[CONTROL].to_pylist()], bool)
    normalized = normalize_features(
        features, _groups(table, protocol.normalization), is_control, protocol.normalization
    )
    scaled = protocol.normalization.method != "none"
    selected = select_features(
        normalized.features,
        list(left),
        np.array(table[TREATMENT].to_pylist(), object),
        settings,
        minimum_variance=MINIMUM_VARIANCE if scaled else 0.0,
    )
    wells = control_wells(table, is_control)
    facts = CorrectionFacts(
        normalization=protocol.normalization.method,
        correction="none",
        features_before=len(names),
        features_after=len(selected.kept),
        dropped={**present.dropped, **selected.dropped},
        controls=int(is_control.sum()),
        control_wells=wells,
        plates_without_controls=tuple(plate for plate, count in wells.items() if count < 2),
        controls_by_batch=control_profiles(table, is_control),
        references=normalized.references,
        unscaled=normalized.unscaled,
        warnings=_unscaled_warning(normalized.unscaled),
    )
    return Prepared(
        table, list(left[selected.kept]), normalized.features[:, selected.kept], is_control, facts
    )


def apply_correction(prepared: Prepared, correction: Correction) -> Corrected:
    """Whiten, sphere or align prepared profiles; errors as for `correct`."""
    if correction.method == "none":
        return Corrected(_with_features(prepared.table, prepared.names, prepared.features), prepared.facts)
    if prepared.facts.controls < 2:
        raise ConfigurationError(
            f'the method "{correction.method}" learns from control profiles, and there '
            f"{'is one' if prepared.facts.controls else 'are none'}; expected at least two",
            where="profiles.correction.method",
            remedy='Name the controls in profiles.control_values, or write "method": "none".',
        )
    whitening = Whitening(prepared.spectrum, correction.regularization, _FORMS[correction.method])
    features = whitening.apply(prepared.features)
    mean, covariance = whitening.residuals(features[prepared.is_control].astype(np.float32))
    unaligned: tuple[str, ...] = ()
    if correction.method == "tvn":
        batches = np.array(prepared.table[BATCH].to_pylist(), object)
        aligned = align_batches(
            features,
            prepared.is_control,
            batches,
            correction.regularization,
            batch_regularization=1.0 if correction.compat else None,
        )
        features, unaligned = aligned.features, aligned.unaligned
    names = prepared.names if whitening.form == "zca" else [f"pc_{n}" for n in range(features.shape[1])]
    facts = replace(
        prepared.facts,
        correction=correction.method,
        regularization=correction.regularization,
        batches_unaligned=unaligned,
        largest_eigenvalue=whitening.spectrum.largest,
        rank=whitening.spectrum.rank,
        whitened_mean=mean,
        whitened_covariance=covariance,
        warnings=(*prepared.facts.warnings, *_warnings(whitening, unaligned)),
    )
    return Corrected(_with_features(prepared.table, names, features), facts)


def _unscaled_warning(unscaled: dict[str, int]) -> tuple[str, ...]:
    if not unscaled:
        return ()
    return (
        f"up to {max(unscaled.values())} features do not vary over the profiles that give the scale (in "
        f"{_some(sorted(unscaled))}): there they were centred, but keep the scale they had",
    )


def _warnings(whitening: Whitening, unaligned: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    if whitening.is_weak:
        found.append(
            f"lambda {whitening.regularization:g} is less than {SMALL_REGULARIZATION:g} of the largest "
            f"eigenvalue ({whitening.spectrum.largest:g}): directions in which controls hardly vary rule the "
            "distances. Normalize first, or write a larger profiles.correction.regularization."
        )
    if unaligned:
        found.append(f"batches with fewer than two controls were not aligned: {', '.join(unaligned)}")
    return tuple(found)


def _groups(table: pa.Table, settings: Normalization) -> np.ndarray:
    if settings.by == "all":
        return np.full(table.num_rows, "all", object)
    return np.array(table[PLATE if settings.by == "plate" else BATCH].to_pylist(), object)


def _require_profiles(table: pa.Table, features: int) -> None:
    if not table.num_rows or not features:
        raise StoreError(
            f"there are {table.num_rows} profiles with {features} features; expected at least one of both",
            where="profiles",
            remedy="Materialize the plates' own profiles, and see what they left out.",
        )


def _require_finite(features: np.ndarray, names: np.ndarray, table: pa.Table) -> None:
    missing = ~np.isfinite(features)
    if not missing.any():
        return
    rows = np.flatnonzero(missing.any(axis=1))
    columns = names[missing.any(axis=0)]
    plates, wells = table[PLATE].to_pylist(), table[WELL].to_pylist()
    of_wells = list(dict.fromkeys(f"{plates[row]}/{wells[row]}" for row in rows))
    raise StoreError(
        f"{len(columns)} features are not finite numbers in {len(rows)} of {len(features)} profiles: "
        f"{_some(list(columns))} in {_some(of_wells)}",
        where="profiles",
        remedy='Add "drop_na_columns" to profiles.feature_selection.operations, with "missing_cutoff": 0; '
        "or leave these wells out.",
    )


def _some(values: list[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def _with_features(table: pa.Table, names: list[str], features: np.ndarray) -> pa.Table:
    """The metadata columns and provenance of `table` with other features."""
    kept = table.select(metadata_names(table))
    columns = np.ascontiguousarray(features.T, dtype=np.float32)
    return pa.Table.from_arrays(
        [*kept.columns, *(pa.array(column, pa.float32()) for column in columns)],
        schema=pa.schema(
            [*kept.schema, *(pa.field(name, pa.float32()) for name in names)], metadata=table.schema.metadata
        ),
    )
