"""The real parts that tests run against, each a fixture defined beside its starter."""

from hypothesis import settings

from imgctl.run.pool import cores

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("imgctl", deadline=None)
settings.load_profile("imgctl")

pytest_plugins = [
    "tests.parts.postgres",
    "tests.parts.pgbouncer",
    "tests.parts.seaweed",
    "tests.parts.moto_server",
    "tests.parts.rclone",
    "tests.parts.chromium",
]


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores: tests of killed runs wait for leases to lapse, a second each."""
    return 2 * cores()
