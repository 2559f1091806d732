"""The example's labels are true of its images: simple measurements find compounds and mechanisms again."""

import numpy as np

from dp_assets.storage.schemas import PROFILES
from dp_assets_tests.example_profiles import example_profiles


def test_measured_profiles_show_compounds_and_mechanisms() -> None:
    table = PROFILES.enforce(example_profiles())
    frame = table.to_pandas()
    names = [name for name in frame if not name.startswith("Metadata_")]
    assert frame.groupby("Metadata_Treatment").size().to_dict() == {"DMSO": 8} | {
        f"{treatment}-{preparation}": 4
        for treatment in ("Nuclidol", "Mitofragin", "Rotundin")
        for preparation in "AB"
    }
    scaled = frame.copy()
    for _, plate in frame.groupby("Metadata_Plate"):
        controls = plate.loc[plate["Metadata_Control"] == "true", names]
        scaled.loc[plate.index, names] = ((plate[names] - controls.mean()) / controls.std()).astype(
            np.float32
        )
    treated = scaled[scaled["Metadata_Control"] == "false"].reset_index(drop=True)
    alike = np.corrcoef(treated[names].to_numpy(float))
    for compound, rows in treated.groupby("Metadata_Compound").groups.items():
        others = treated.index[treated["Metadata_MOA"] != treated.loc[rows[0], "Metadata_MOA"]]
        own = alike[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        assert np.median(own) > 0.8, compound
        assert np.median(alike[np.ix_(rows, others)]) < 0.5, compound
    profiles = treated.groupby("Metadata_Compound")[names].mean()
    mechanisms = treated.drop_duplicates("Metadata_Compound").set_index("Metadata_Compound")["Metadata_MOA"]
    nearest = np.corrcoef(profiles.to_numpy(float)) - 2 * np.eye(len(profiles))
    for compound, row in zip(profiles.index, nearest, strict=True):
        assert mechanisms[profiles.index[row.argmax()]] == mechanisms[compound], compound
