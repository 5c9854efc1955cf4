"""Which S3 endpoint is in force: the settings' own, or the one that the AWS chain's variables name."""

from collections.abc import Mapping

from imgctl.config.settings import StoreSettings

VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def endpoint_of(settings: StoreSettings, environ: Mapping[str, str]) -> str:
    """The endpoint's URL; empty for AWS itself."""
    named = (environ.get(name, "").strip() for name in VARIABLES)
    return settings.endpoint_url or next(filter(None, named), "")
