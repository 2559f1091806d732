"""Going through a plate's sites: a bad site fails alone, everything else fails all."""

import pytest

from dp_assets.config.errors import ConfigurationError, ImageFileError, LocationsError
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.site_loop import exhaust, try_each
from dp_assets_tests.made_plates import ProgressLog


def sites(count: int) -> list[ImageSite]:
    return [ImageSite("P", "A01", str(number), (1, 1), (), (), ()) for number in range(count)]


@pytest.mark.parametrize("error", [ImageFileError, LocationsError])
def test_a_bad_site_is_recorded_and_the_others_go_on(error: type[ImageFileError]) -> None:
    def function(site: ImageSite) -> str:
        if site.site == "1":
            raise error("it is torn", where="a.tiff", remedy="mend it")
        return site.site * 2

    failures: list[SiteFailure] = []
    progress = ProgressLog()
    found = list(try_each(sites(4), function, failures, workers=2, progress=progress, done=3))
    assert [(site.site, result) for site, result in found] == [("0", "00"), ("2", "22"), ("3", "33")]
    assert failures == [SiteFailure("A01", "1", "a.tiff: it is torn")]
    assert failures[0].as_dict() == {"well": "A01", "site": "1", "problem": "a.tiff: it is torn"}
    assert progress == [(3, 7), (4, 7), (5, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("scaled", where="key", remedy="change it"), KeyError("defect"), MemoryError()],
)
def test_what_is_not_the_sites_fault_is_raised(error: Exception) -> None:
    def function(site: ImageSite) -> None:
        raise error

    failures: list[SiteFailure] = []
    with pytest.raises(type(error)):
        exhaust(try_each(sites(2), function, failures, workers=1, progress=ProgressLog()))
    assert failures == []


def test_a_plate_without_work_reports_that_it_is_done() -> None:
    progress = ProgressLog()
    exhaust(try_each([], lambda site: site, [], workers=2, progress=progress, done=5))
    assert progress == [(5, 5)]
