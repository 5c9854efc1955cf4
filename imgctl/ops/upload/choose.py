"""Choosing the files of an upload: every file comes once, with its owner, or as an outcome that says why not."""

from collections.abc import Iterable

from imgctl.ops.sources.base import Chosen, Source
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.bags import open_bag
from imgctl.ops.upload.order import Selection, check
from imgctl.ops.upload.rules import SelectionRules

__all__ = ["Selection", "chosen"]


def chosen(selection: Selection, sources: Sources | None = None) -> Chosen:
    """Every file of the selection, its owner set, and an outcome for each that is left out; streams.

    A directory that is left out by name is one outcome. Raises UsageError at once for a selection that cannot be meant,
    and later where only reading on shows that a list or a manifest is none.
    """
    check(selection)
    rules, sources = SelectionRules(selection), sources or Sources(follow_links=selection.follow_links)
    if selection.manifest is not None:
        from imgctl.ops.upload.named import from_manifest

        return from_manifest(selection.manifest, rules, sources, selection)
    # Opened at once: a source that cannot be meant ends the run before anything is uploaded.
    bags = [bag for path in selection.paths if (bag := open_bag(path, sources)) is not None]
    in_bags = {bag.path for bag in bags}
    found: list[Chosen] = []
    if bags:
        from imgctl.ops.upload.named import from_bag

        found += (from_bag(bag, selection, sources) for bag in bags)
    found.append(_from_sources(sources.open(path for path in selection.paths if path not in in_bags), rules))
    if selection.files_from is not None:
        from imgctl.ops.upload.named import from_list

        found.append(from_list(selection.files_from, rules, sources))
    return _each_of(found)


def _each_of(several: Iterable[Chosen]) -> Chosen:
    """One after another; who gives it up closes the one that is open."""
    for one in several:
        yield from one


def _from_sources(found: Iterable[Source], rules: SelectionRules) -> Chosen:
    for source in found:
        yield from source.entries(rules)
