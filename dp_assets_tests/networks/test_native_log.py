"""Native log lines become log records; everything else still reaches standard error."""

import logging
import os

import pytest

from dp_assets.networks.native_log import native_log


def test_native_lines_are_logged_and_others_are_passed_on(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), native_log():
        os.write(2, b"I0000 00:00:1.5 12 port.cc:153] custom operations are on\n")
        os.write(2, b"E0000 00:00:1.5 12 platform.cc:52] failed call\n")
        os.write(2, b"Traceback of somebody else\n")
    levels = {record.getMessage().split("]")[-1].strip(): record.levelno for record in caplog.records}
    assert levels == {"custom operations are on": logging.DEBUG, "failed call": logging.INFO}
    assert capfd.readouterr().err == "Traceback of somebody else\n"


def test_standard_error_is_given_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), native_log():
        raise ValueError("inside")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
