"""Makes functions of imgctl raise or hang in the process of a run, by their dotted names."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name

MESSAGE = "what nobody thought of"


class Unthought(Exception):
    """An error that no handler catches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Replaces functions at the start of a run: `raising` raises `error` at its call number `call`, and writes `marker`;
    those of `hanging` never return, and write `hung` when they are called."""

    raising: str = ""
    error: Exception = field(default_factory=lambda: Unthought(MESSAGE))
    call: int = 1
    marker: Path
    hanging: tuple[str, ...] = ()

    def __call__(self) -> None:
        if self.raising:
            _replace(self.raising, self._raise_at)
        for name in self.hanging:
            _replace(name, self._hang)

    @property
    def hung(self) -> Path:
        """Return the file that exists once a function hangs."""
        return self.marker.with_name(f"{self.marker.name}-hung")

    def _hang(self, _whole: Callable[..., object]) -> Callable[..., object]:
        def hanging(*_args: object, **_kwargs: object) -> object:
            self.hung.touch()
            return threading.Event().wait()

        return hanging

    def _raise_at(self, whole: Callable[..., object]) -> Callable[..., object]:
        calls = iter(range(1, self.call + 1))

        def harmed(*args: object, **kwargs: object) -> object:
            if next(calls, None) == self.call:
                self.marker.touch()
                raise self.error
            return whole(*args, **kwargs)

        return harmed


def _replace(name: str, harmed: Callable[[Callable[..., object]], Callable[..., object]]) -> None:
    place, _, attribute = name.rpartition(".")
    owner = resolve_name(place)
    setattr(owner, attribute, harmed(getattr(owner, attribute)))
