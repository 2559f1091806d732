"""A work folder belongs to its run until the result is published, and to nobody afterwards."""

import os
from typing import Any

import pytest

from dp_assets.config.errors import AtWorkError
from dp_assets.storage import work
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.orchestration.materializing import Workshop

PLATE = "TINY00001"


@pytest.mark.parametrize(
    ("asset", "plate"),
    [
        ("illumination_functions", PLATE),
        ("image_quality", PLATE),
        ("compressed_images", PLATE),
        ("single_cells/box32", PLATE),
        ("cnn/cell_features", PLATE),
        pytest.param("cnn/trained_model", None, marks=pytest.mark.slow),
    ],
)
def test_nobody_else_works_in_a_folder_while_its_result_is_put_in_place(
    finished: Workshop, monkeypatch: pytest.MonkeyPatch, asset: str, plate: str | None
) -> None:
    monkeypatch.setattr(work, "LOCK_TIMEOUT_SECONDS", 0)
    folder = WorkFolder(finished.root / ".work" / asset / (plate or ""))
    outputs = str(finished.root / "outputs")
    refused = []
    replace = os.replace

    def look_and_replace(source: Any, target: Any) -> None:
        if str(target).startswith(outputs):
            with pytest.raises(AtWorkError, match="another run is working"), folder.locked():
                pass
            refused.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", look_and_replace)
        run = finished.make(asset, plate=plate, force=True)
    assert run.succeeded, run.failures
    assert refused
    with folder.locked():
        assert not list(folder.path.glob("parts/*"))
