"""The settings: frozen values from flag, environment, file and default, in that order of precedence."""
