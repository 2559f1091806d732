"""Settings of what runs by itself: `automation` of project.yaml, and `train.retrain` of an experiment."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._utils.schedules import is_valid_cron_schedule, schedule_execution_time_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.automation import AutomationSettings
from dp_assets.config.cron import cron_problem
from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.project import load_project
from dp_assets.training.model_plan import learning_digest
from dp_assets_tests.config.conftest import Write


def project_with(root: Path, automation: Any) -> AutomationSettings:
    (root / "project.yaml").write_text(yaml.safe_dump({"automation": automation}), encoding="utf-8")
    return load_project(root).settings.automation


def test_everything_is_on_by_default(tmp_path: Path) -> None:
    found = load_project(tmp_path).settings.automation
    assert (found.nightly, found.weekly) == ("0 2 * * *", "0 3 * * 0")
    assert found.notify.log == ".dagster/notifications.log"
    assert (found.notify.slack, found.notify.email, found.notify.plugin) == (None, None, None)


def test_settings_are_read(tmp_path: Path) -> None:
    found = project_with(
        tmp_path,
        {
            "nightly": "*/5  1-3 * * mon,fri",
            "weekly": False,
            "timezone": "Europe/Berlin",
            "watch": "arrivals",
            "every_seconds": 5,
            "notify": {"slack": {"channel": "#screen"}, "plugin": "notify.py"},
        },
    )
    assert (found.nightly, found.weekly, found.watch) == ("*/5 1-3 * * mon,fri", False, "arrivals")
    assert found.notify.slack is not None
    assert found.notify.slack.token_variable == "SLACK_BOT_TOKEN"


@pytest.mark.parametrize(
    ("automation", "key", "what"),
    [
        ({"nightly": "0 25 * * *"}, "automation.nightly", "the hour from 0 to 23, found '25'"),
        ({"nightly": "at night"}, "automation.nightly", "five fields"),
        ({"nightly": True}, "automation.nightly", "true"),
        ({"weekly": "0 0 30 2 *"}, "automation.weekly", "never comes"),
        ({"timezone": "Mars/Olympus"}, "automation.timezone", "time zone"),
        ({"timezone": "../etc/passwd"}, "automation.timezone", "time zone"),
        ({"watch": "../elsewhere"}, "automation.watch", "inside the project"),
        ({"watch": "/data"}, "automation.watch", "inside the project"),
        ({"every_seconds": 0}, "automation.every_seconds", "greater than or equal to 1"),
        ({"notify": {"slack": {}}}, "automation.notify.slack.channel", "channel is missing"),
        ({"notify": {"slack": {"channel": "#a", "token_variable": "xoxb-1-2"}}}, "token_variable", "xoxb"),
        ({"notify": {"email": {"sender": "a@b.c", "recipients": []}}}, "notify.email.recipients", "at least"),
        ({"notify": {"log": "/var/log/x"}}, "automation.notify.log", "inside the project"),
        ({"notify": {"plugin": "notify"}}, "automation.notify.plugin", "ending in .py"),
        ({"nigthly": False}, "automation.nigthly", 'unknown key "nigthly"'),
        ({"notify": {"slak": {}}}, "automation.notify.slak", 'unknown key "slak"'),
    ],
)
def test_mistakes_name_file_key_and_remedy(tmp_path: Path, automation: Any, key: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        project_with(tmp_path, automation)
    problem = raised.value.problems[0]
    assert str(tmp_path / "project.yaml") in problem.where
    assert key in problem.where
    assert what in problem.what
    assert problem.remedy


FIELDS = st.one_of(
    st.sampled_from(
        ["*", "*/2", "*/7", "1-3", "1-3/2", "0", "5", "7", "31", "59", "60", "2,4", "mon", "feb", "5/2"]
    ),
    st.integers(0, 70).map(str),
    st.text("*/-,0123456789", min_size=1, max_size=4),
)


@settings(deadline=None)
@given(st.lists(FIELDS, min_size=5, max_size=5))
def test_what_is_accepted_is_what_dagster_accepts_and_fires(fields: list[str]) -> None:
    line = " ".join(fields)
    if cron_problem(line) is None:
        assert is_valid_cron_schedule(line), line
        assert next(schedule_execution_time_iterator(0, line, "UTC", True)), line


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("never", None),
        ("new_plates", 1),
        ("New_Plates", 1),
        (12, 12),
        ("12 plates", 12),
        ("1 plate", 1),
        (3.0, 3),
    ],
)
def test_retrain_says_how_many_new_plates_train(
    write: Write, tmp_path: Path, value: object, least: int | None
) -> None:
    write("cnn.json", {"train.retrain": value})
    assert load_project(tmp_path).experiments["cnn"].least_new_plates == least


@pytest.mark.parametrize("value", ["always", "0 plates", "plates", 0, -1, True, "1.5 plates", ["12 plates"]])
def test_other_values_of_retrain_are_refused(write: Write, tmp_path: Path, value: object) -> None:
    write("cnn.json", {"train.retrain": value})
    (problem,) = load_project(tmp_path).broken["cnn.json"]
    assert "train.retrain" in problem.where
    assert "12 plates" in problem.remedy


def test_retrain_is_no_part_of_what_a_model_is(write: Write, tmp_path: Path) -> None:
    write("a.json")
    write("b.json", {"train.retrain": "new_plates"})
    experiments = load_project(tmp_path).experiments
    first, second = (experiments[name].training() for name in ("a", "b"))
    assert settings_digest(first) == settings_digest(second)
    assert learning_digest(first) == learning_digest(second)
    assert experiments["a"].least_new_plates is None
    assert not experiments["b"].warnings
