"""A failure as a Slack message, through Dagster's own package."""

from dp_assets.config.automation import SlackSettings
from dp_assets.config.errors import ConfigurationError
from dp_assets.orchestration.automation.failures import Failure
from dp_assets.orchestration.automation.secrets import secret, without

KEY = "automation.notify.slack"
SECONDS = 20
LONGEST = 3000


def post_to_slack(failure: Failure, settings: SlackSettings) -> None:
    """Post a failure to a channel.

    Raises
    ------
    ConfigurationError : the package or the token is missing, or Slack does not take the message.
    """
    try:
        from dagster_slack import SlackResource
    except ImportError as error:
        raise ConfigurationError(
            "the package dagster-slack is not installed",
            where=f"project.yaml: {KEY}",
            remedy="pip install 'dp-assets[slack]', or remove this section",
        ) from error
    token = secret(settings.token_variable, f"{KEY}.token_variable")
    with without(token, KEY):
        client = SlackResource(token=token).get_client()
        client.timeout = SECONDS
        if settings.api is not None:
            client.base_url = settings.api.rstrip("/") + "/"
        client.chat_postMessage(channel=settings.channel, text=failure.text()[:LONGEST])
