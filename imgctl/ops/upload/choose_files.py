"""The choice of files for an upload: each file once, with its owner, or as an outcome with the reason it is skipped."""

from collections.abc import Iterable

from imgctl.ops.sources.base import Chosen, Source
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.bags import open_bag
from imgctl.ops.upload.options import Selection, check
from imgctl.ops.upload.selection_rules import SelectionRules


def chosen(selection: Selection, sources: Sources) -> Chosen:
    """Yield every file of the selection with its owner, and an outcome for each file that is left out; streams.

    A directory that is left out by name is one outcome. Raises UsageError at once for an invalid selection, and during
    iteration for a list or a manifest that turns out to be invalid further down.
    """
    check(selection)
    rules = SelectionRules(selection)
    if selection.manifest is not None:
        from imgctl.ops.upload.named_files import from_manifest

        return from_manifest(selection.manifest, rules, sources, selection)
    # Opened at once: an invalid source ends the run before anything is uploaded.
    bags = [bag for path in selection.paths if (bag := open_bag(path, sources)) is not None]
    in_bags = {bag.path for bag in bags}
    found: list[Chosen] = []
    if bags:
        from imgctl.ops.upload.named_files import from_bag

        found += (from_bag(bag, selection, sources) for bag in bags)
    found.append(_from_sources(sources.open(path for path in selection.paths if path not in in_bags), rules))
    if selection.files_from is not None:
        from imgctl.ops.upload.named_files import from_list

        found.append(from_list(selection.files_from, rules, sources))
    return _each_of(found)


def _each_of(several: Iterable[Chosen]) -> Chosen:
    """Yield from one after another; closing this generator closes the current one."""
    for one in several:
        yield from one


def _from_sources(found: Iterable[Source], rules: SelectionRules) -> Chosen:
    for source in found:
        yield from source.entries(rules)
