"""A cluster of other versions is rejected in one line."""

import socket
import subprocess
import sys

import pytest

from imgctl.errors import ConfigError, WorkerError
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import PoolSettings
from tests.run.programs import ROOT

WITHOUT_DASK = """
import sys
sys.modules["distributed"] = None
from imgctl.errors import ConfigError
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import PoolSettings
try:
    open_pool(PoolSettings(scheduler="tcp://127.0.0.1:8786"))
except ConfigError as error:
    print(error.line)
"""


def test_a_missing_extra_is_reported() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_DASK], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "a Dask scheduler needs the extra `dask` (pip install 'imgctl[dask]')\n"


def test_the_local_pool_does_not_import_dask() -> None:
    program = "import sys; from imgctl.run.pools.local import LocalPool; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_an_unreachable_scheduler_is_reported_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("imgctl.run.pools.dask._SECONDS_TO_CONNECT", 0.2)
    with socket.socket() as taken:
        # Bound and not listening: no other process gets the port, and connections fail.
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(WorkerError, match="no Dask scheduler answers") as caught:
            open_pool(PoolSettings(scheduler=address))

    assert "\n" not in caught.value.line


def _machine(**packages: str) -> "dict[str, dict[str, str | None]]":
    same = {"python": "3.11.7.final.0", "imgctl": "1.0", "dask": "2026.3", "distributed": "2026.3", "cloudpickle": "3"}
    return {"packages": {**same, **packages}}


def test_a_worker_of_another_version_is_refused_in_one_line() -> None:
    from imgctl.run.pools.dask import refuse_mismatch

    workers = {"tcp://10.0.0.2:4000": _machine(imgctl="0.9", dask="2026.4")}
    with pytest.raises(ConfigError) as caught:
        refuse_mismatch({"client": _machine(), "scheduler": _machine(), "workers": workers})  # type: ignore[typeddict-item]

    assert caught.value.message == "worker tcp://10.0.0.2:4000 has imgctl 0.9, not 1.0, and 1 more differences"


def test_a_scheduler_of_another_python_is_refused() -> None:
    from imgctl.run.pools.dask import refuse_mismatch

    with pytest.raises(ConfigError, match=r"the scheduler has python 3\.12, not 3\.11"):
        refuse_mismatch({"client": _machine(), "scheduler": _machine(python="3.12.1.final.0"), "workers": {}})  # type: ignore[typeddict-item]


def test_another_patch_release_of_python_is_accepted() -> None:
    from imgctl.run.pools.dask import refuse_mismatch

    workers = {"tcp://10.0.0.2:4000": _machine(python="3.11.9.final.0", imgctl="0.9")}

    with pytest.raises(ConfigError) as caught:
        refuse_mismatch({"client": _machine(), "scheduler": _machine(), "workers": workers})  # type: ignore[typeddict-item]

    assert caught.value.message == "worker tcp://10.0.0.2:4000 has imgctl 0.9, not 1.0"
