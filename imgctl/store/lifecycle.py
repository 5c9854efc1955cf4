"""Lifecycle rules: the wanted transition, the current and planned rules of a bucket, and their diff."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError
from imgctl.model import StorageClass

Rule: TypeAlias = Mapping[str, object]

SMALLEST = "TransitionDefaultMinimumObjectSize"
# The default, which only server responses contain: it does not count as a difference.
_DEFAULT_SMALLEST = "all_storage_classes_128K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The transition of objects under `prefix` to a class after `days`; only from `min_size` bytes on, 0 for no limit.

    With 0 an S3 bucket's default applies: objects below 128 KiB stay, unless it is `varies_by_storage_class`.
    """

    prefix: str
    to: StorageClass
    days: int
    min_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """A bucket's lifecycle configuration; `smallest` is S3's TransitionDefaultMinimumObjectSize, empty if absent."""

    rules: tuple[Rule, ...] = ()
    smallest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePlan:
    """A configuration as it is and as it would be; `diff` is for display, empty if nothing changes.

    `notes` state the rule's limits. `by_hand` is the configuration as text if imgctl cannot write it itself.
    """

    before: Lifecycle
    after: Lifecycle
    notes: tuple[str, ...] = ()
    by_hand: str = ""

    @property
    def diff(self) -> str:
        """The changes as a unified diff."""
        lines = difflib.unified_diff(_lines(self.before), _lines(self.after), "bucket", "planned", lineterm="")
        return "\n".join(lines)

    @property
    def changes(self) -> str:
        """Only the changed lines, joined into one line."""
        return "; ".join(line for line in self.diff.splitlines()[2:] if line[:1] in ("-", "+"))


def originals_prefix(settings: StoreSettings) -> str:
    """The prefix of the keys of originals; ConfigError if there is none."""
    if not settings.originals_prefix:
        hint = "set [store] originals_prefix before the first upload: a rule selects objects by the beginning of their keys"
        raise ConfigError("originals have no prefix of their own, so no lifecycle rule can select them", hint=hint)
    return settings.originals_prefix


def same(one: Lifecycle, other: Lifecycle) -> bool:
    """Whether two configurations are equal, in any order of rules."""
    return _lines(one) == _lines(other)


def _lines(lifecycle: Lifecycle) -> list[str]:
    # Google's rules have no names.
    rules = sorted(lifecycle.rules, key=lambda rule: (str(rule.get("ID", "")), json.dumps(rule, default=str)))
    is_set = lifecycle.smallest not in ("", _DEFAULT_SMALLEST)
    shown = {"Rules": rules} | ({SMALLEST: lifecycle.smallest} if is_set else {})
    return json.dumps(shown, indent=1, sort_keys=True, default=str).splitlines()
