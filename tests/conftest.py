"""The real parts that tests run against, each a fixture defined beside its starter."""

from hypothesis import settings

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("imgctl", deadline=None)
settings.load_profile("imgctl")

pytest_plugins = ["tests.parts.postgres", "tests.parts.seaweed", "tests.parts.moto_server", "tests.parts.chromium"]
