"""A failure as an e-mail."""

import smtplib
import ssl
from email.message import EmailMessage

from dp_assets.config.automation import EmailSettings
from dp_assets.orchestration.automation.failures import Failure
from dp_assets.orchestration.automation.secrets import secret, without

KEY = "automation.notify.email"
PORTS = {"ssl": 465, "starttls": 587, "none": 25}
SECONDS = 20


def send_email(failure: Failure, settings: EmailSettings) -> None:
    """Send a failure to the recipients.

    Raises
    ------
    ConfigurationError : the password is missing, or the server does not take the mail.
    """
    variable = settings.password_variable
    password = secret(variable, f"{KEY}.password_variable") if variable is not None else None
    with without(password, KEY), _connected(settings) as server:
        if password is not None:
            server.login(settings.user or settings.sender, password)
        server.send_message(mail_of(failure, settings))


def mail_of(failure: Failure, settings: EmailSettings) -> EmailMessage:
    """The mail."""
    mail = EmailMessage()
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Subject"] = " ".join(f"dp-assets: {failure.what}".split())
    mail.set_content(failure.text())
    return mail


def _connected(settings: EmailSettings) -> smtplib.SMTP:
    port = settings.port or PORTS[settings.security]
    if settings.security == "ssl":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, port, timeout=SECONDS, context=context)
    server = smtplib.SMTP(settings.host, port, timeout=SECONDS)
    if settings.security == "starttls":
        server.starttls(context=ssl.create_default_context())
    return server
