"""Passwords in addresses are refused by every key that takes one, and shown nowhere."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from dp_assets.config.credentials import holds_credentials, masked
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import load_project
from dp_assets.example.tiny import write_tiny_project
from dp_assets.orchestration.automation.secrets import without

SECRET = "hunter2/+=x"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"http://user:{SECRET}@host:5000", True),
        ("http://token@host", True),
        (f"s3://KEY:{SECRET}@bucket/a", True),
        ("postgresql://u:p@db/x", True),
        ("http://host:5000/a@b", False),
        ("http://[::1]:5000/", False),
        ("s3://bucket/a@b", False),
        ("mlruns", False),
        ("screen@example.org", False),
    ],
)
def test_addresses_with_credentials_are_told_from_others(address: str, expected: bool) -> None:
    assert holds_credentials(address) is expected


def test_masked_text_keeps_the_host() -> None:
    assert masked(f"no answer of redis://:{SECRET}@host:6379/0") == "no answer of redis://***@host:6379/0"


@pytest.mark.parametrize("by_option", [False, True])
def test_password_in_the_address_of_mlflow_is_refused(tmp_path: Path, by_option: bool) -> None:
    write_tiny_project(tmp_path)
    file = tmp_path / "inputs" / "config" / "cnn.json"
    address = f"https://me:{SECRET}@tracking:5000"
    if by_option:
        overrides = Overrides((f"logging.mlflow={address}",))
    else:
        overrides = None
        data = json.loads(file.read_text(encoding="utf-8"))
        data["logging"] = {"mlflow": address}
        file.write_text(json.dumps(data))
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_PASSWORD in the environment") as caught:
        load_experiment(file, overrides=overrides).training()
    assert "https://***@tracking:5000" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "me:" not in str(caught.value)


def test_password_in_the_address_of_slack_is_refused(tmp_path: Path) -> None:
    notify = {"slack": {"channel": "#a", "api": f"https://me:{SECRET}@slack.example.org/"}}
    (tmp_path / "project.yaml").write_text(yaml.safe_dump({"automation": {"notify": notify}}))
    with pytest.raises(ConfigurationError, match="without user and password") as caught:
        load_project(tmp_path)
    assert SECRET not in str(caught.value)


def test_secret_key_with_a_slash_is_seen(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text(yaml.safe_dump({"store": f"s3://AKIA1:{SECRET}@bucket/project"}))
    with pytest.raises(ConfigurationError, match="holds credentials") as caught:
        load_project(tmp_path)
    assert SECRET not in str(caught.value)
    assert "write s3://bucket/project" in str(caught.value)


@pytest.mark.parametrize(("host", "refused"), [("mail.example.org", True), ("localhost", False)])
def test_password_is_not_sent_in_the_clear(tmp_path: Path, host: str, refused: bool) -> None:
    email = {"sender": "a@b.org", "recipients": ["c@d.org"], "host": host, "security": "none"}
    settings = {"automation": {"notify": {"email": {**email, "password_variable": "DP_MAIL_PASSWORD"}}}}
    write_tiny_project(tmp_path)
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(settings))
    if not refused:
        load_project(tmp_path)
        return
    with pytest.raises(ConfigurationError, match='security is "ssl" or "starttls"'):
        load_project(tmp_path)


@pytest.mark.parametrize("shift", range(3))
def test_what_a_server_repeats_is_masked(shift: int) -> None:
    """smtplib sends user and password in base64, where the password may begin at any of three offsets."""
    sent = base64.b64encode(b"u" * shift + b"\0" + SECRET.encode()).decode()
    with pytest.raises(ConfigurationError) as caught, without(SECRET, "automation.notify.email"):
        raise OSError(f"535 nobody has AUTH PLAIN {sent}, or {SECRET}; ask")
    assert str(caught.value).splitlines()[0] == (
        "project.yaml: automation.notify.email: OSError: 535 nobody has AUTH PLAIN ***, or ***; ask"
    )
