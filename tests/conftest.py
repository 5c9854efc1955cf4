"""The real parts that tests run against, each a fixture defined beside its starter."""

pytest_plugins = ["tests.parts.postgres", "tests.parts.seaweed", "tests.parts.moto_server"]
