"""The settings: frozen values from flag, environment, file and default, in that order of strength."""

from imgctl.config.load import load_settings
from imgctl.config.settings import (
    CatalogSettings,
    LogSettings,
    NotifySettings,
    ServeSettings,
    Settings,
    StoreSettings,
    UploadSettings,
    VariantSettings,
    VariantsSettings,
    WorkSettings,
)

__all__ = [
    "CatalogSettings",
    "LogSettings",
    "NotifySettings",
    "ServeSettings",
    "Settings",
    "StoreSettings",
    "UploadSettings",
    "VariantSettings",
    "VariantsSettings",
    "WorkSettings",
    "load_settings",
]
