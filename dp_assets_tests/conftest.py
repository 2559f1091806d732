"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

from dp_assets_tests.s3_server import bucket, s3_process, s3_server

__all__ = ["bucket", "s3_process", "s3_server"]

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_folder() -> Path:
    """Where the reference data lies, if it is there: $DP_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("DP_SHARED") or REPOSITORY.parent / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; the test is skipped where it is not there."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder} (set DP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Numbers recorded from the original program on a small synthetic project."""
    return shared / "golden"
