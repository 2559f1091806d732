"""Outputs on an object store: the whole graph with `store` in project.yaml, here fsspec's memory."""

import uuid

from upath import UPath

from dp_assets_tests.orchestration.materializing import COMPUTED, Workshop

PLATES = ("TINY00001", "TINY00002")


def test_the_whole_graph_in_memory(tiny: Workshop) -> None:
    store = UPath(f"memory://dp-assets-{uuid.uuid4().hex}/outputs")
    (tiny.root / "project.yaml").write_text(f"store: {store}\n", encoding="utf-8")
    first = tiny.make_all(*PLATES)
    assert set().union(*(run.recomputed for run in first.values())) == set(COMPUTED)
    assert not (tiny.root / "outputs").exists()
    for place in (
        "metadata/image_index.parquet",
        "intensities/TINY00002.npz",
        "compressed/images/TINY00001/MANIFEST.json",
        "single_cells/box32/TINY00001/MANIFEST.json",
        "cnn/trained_model/MANIFEST.json",
        "cnn/features/TINY00002.parquet",
        "cnn/well_profiles/TINY00001.parquet",
    ):
        assert (store / place).exists(), place
    names = {path.name for path in store.rglob("*")}
    assert not {name for name in names if name.startswith(".") or name.endswith(".tmp")}

    before = {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    again = tiny.make_all(*PLATES)
    assert set().union(*(run.recomputed for run in again.values())) == set()
    assert {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    for name, run in first.items():
        assert again[name].versions == run.versions

    forced = tiny.make("single_cells/box32", plate=PLATES[0], force=True)
    assert forced.succeeded, forced.failures
    versions = list((store / "single_cells" / "box32" / PLATES[0] / "versions").iterdir())
    assert len(versions) == 1, "the replaced version is removed"
    training = tiny.make("cnn/training_set").versions["cnn/training_set"]
    assert training == first["train"].versions["cnn/training_set"]
