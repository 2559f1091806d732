"""The section ``automation`` of ``project.yaml``: what runs by itself, when, and who hears of failures."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from dp_assets.config.credentials import holds_credentials
from dp_assets.config.cron import cron_problem, timezone_problem
from dp_assets.config.fields import AnyCase, Distinct, Name, OneOrMore, Section, WholeNumber

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _cron(value: str) -> str:
    problem = cron_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return " ".join(value.split())


def _inside(value: str) -> str:
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError("expected a path inside the project folder")
    return path.as_posix()


Cron = Annotated[str, AfterValidator(_cron)]
InsideProject = Annotated[str, AfterValidator(_inside)]
Variable = Annotated[str, Field(pattern=ENVIRONMENT_NAME)]


class SlackSettings(Section):
    """``automation.notify.slack``: where failures are posted; the token is in an environment variable."""

    channel: Name = Field(description="the Slack channel", examples=["#screening"])
    token_variable: Variable = Field(
        default="SLACK_BOT_TOKEN",
        description="the environment variable that holds the bot token",
        examples=["SLACK_BOT_TOKEN"],
    )
    api: Name | None = Field(
        default=None,
        description="the address of the Slack API, where it is not Slack's own",
        examples=["http://127.0.0.1:8065/api/"],
    )

    @field_validator("api")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is not None and holds_credentials(value):
            raise ValueError("expected an address without user and password, which would end in logs")
        return value


class EmailSettings(Section):
    """``automation.notify.email``: the mails that are sent; the password is in an environment variable."""

    sender: Name = Field(description="the address that mails come from", examples=["screen@example.org"])
    recipients: Annotated[tuple[Name, ...], OneOrMore, Distinct] = Field(
        min_length=1, description="the addresses that mails go to", examples=[["lab@example.org"]]
    )
    host: Name = Field(default="localhost", description="the mail server", examples=["mail.example.org"])
    port: WholeNumber | None = Field(
        default=None, ge=1, le=65535, description="the port of the mail server", examples=[587]
    )
    security: Annotated[Literal["ssl", "starttls", "none"], AnyCase] = Field(
        default="ssl", description='"ssl", "starttls" or "none"', examples=["starttls"]
    )
    user: Name | None = Field(
        default=None, description="the user name at the mail server", examples=["screen@example.org"]
    )
    password_variable: Variable | None = Field(
        default=None,
        description="the environment variable that holds the password",
        examples=["DP_MAIL_PASSWORD"],
    )

    @model_validator(mode="after")
    def _encrypted(self) -> "EmailSettings":
        if self.password_variable is not None and self.security == "none" and self.host not in THIS_MACHINE:
            raise ValueError('with password_variable, security is "ssl" or "starttls": else anybody reads it')
        return self


class NotifySettings(Section):
    """``automation.notify``: who hears of failures, besides the log file."""

    log: InsideProject = Field(
        default=".dagster/notifications.log",
        description="the file in the project that failures are written to",
        examples=[".dagster/notifications.log"],
    )
    slack: SlackSettings | None = Field(
        default=None, description="a section with channel", examples=[{"channel": "#screening"}]
    )
    email: EmailSettings | None = Field(
        default=None,
        description="a section with sender and recipients",
        examples=[{"sender": "screen@example.org", "recipients": ["lab@example.org"]}],
    )
    plugin: Name | None = Field(
        default=None,
        description="a Python file in the project, or package.module:function, to be called with a failure",
        examples=["notify.py"],
    )

    @field_validator("plugin")
    @classmethod
    def _file_or_function(cls, value: str | None) -> str | None:
        if value is None or value.endswith(".py"):
            return None if value is None else _inside(value)
        module, _, function = value.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), function)):
            raise ValueError("expected a file ending in .py, or package.module:function")
        return value


class AutomationSettings(Section):
    """``automation``: what runs by itself. Times are cron lines, in ``timezone``; false turns one off."""

    nightly: Cron | Literal[False] = Field(
        default="0 2 * * *",
        description="when missing plates are made, as a cron line of five fields, or false",
        examples=["0 2 * * *"],
    )
    weekly: Cron | Literal[False] = Field(
        default="0 3 * * 0",
        description="when finished plates are looked at again, as a cron line of five fields, or false",
        examples=["0 3 * * 0"],
    )
    timezone: Name = Field(default="UTC", description="the time zone of both", examples=["Europe/Berlin"])
    watch: InsideProject | Literal[False] = Field(
        default="inputs/metadata/new",
        description="the folder in the project where parts of the index arrive, or false",
        examples=["inputs/metadata/new"],
    )
    every_seconds: WholeNumber = Field(
        default=30, ge=1, le=86400, description="how often the index is looked at, in seconds", examples=[30]
    )
    notify: NotifySettings = Field(
        default=NotifySettings(), description="a section that says who hears of failures", examples=[{}]
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        problem = timezone_problem(value)
        if problem is not None:
            raise ValueError(problem)
        return value
