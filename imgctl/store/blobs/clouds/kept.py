"""All that a cloud keeps under a name: old versions, snapshots, and soft-deleted objects; deletes them permanently."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from imgctl.errors import StoreDenied, StoreError
from imgctl.store.blobs.calls import Calls
from imgctl.store.blobs.clouds.provider import Provider
from imgctl.store.blobs.errors import Refused
from imgctl.store.blobs.remnant import Remnant

NOT_FOUND = 404
SNAPSHOT = "snapshot:"


def everything(provider: Provider, calls: Calls, prefix: str) -> Iterator[Remnant]:
    """Whatever is kept under names that begin with `prefix`; the keys are whole names."""
    token = ""
    while True:

        def ask(token: str = token) -> tuple[list[Remnant], str]:
            return provider.everything(prefix, token)

        some, token = calls.call("", ask)
        yield from some
        if not token:
            return


def purge(provider: Provider, calls: Calls, some: Sequence[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
    """Delete these; yields what was refused, and what stays for a while with `until` set: nobody can delete it sooner."""
    refused = _deleted(provider, calls, [one for one in some if one.until is None], permanent=False)
    soft = calls.call("", provider.soft)
    if soft.permanent:
        # In a container that keeps versions each blob has one; a soft-deleted blob without can only be waited for.
        old = [one for one in some if one.version_id is not None and one not in refused]
        refused |= _deleted(provider, calls, old, permanent=True)
    yield from refused.items()
    for one in some:
        until = one.until or (datetime.now(UTC) + soft.stays if soft.stays else None)
        if one in refused or until is None or (soft.permanent and one.version_id is not None):
            continue
        message = f"{one.name} is deleted softly, and stays until about {until:%Y-%m-%d %H:%M}"
        hint = "nobody can delete it sooner; run the same again after that"
        yield replace(one, until=until), StoreDenied(message, hint=hint)


def _deleted(provider: Provider, calls: Calls, some: list[Remnant], *, permanent: bool) -> dict[Remnant, StoreError]:
    """Delete these, trying again those that failed in passing; returns the rejected ones with the reason."""
    left, refused = some, dict[Remnant, StoreError]()

    def ask() -> None:
        nonlocal left
        again: list[tuple[Remnant, Refused]] = []
        for one, error in provider.purge(left, permanent=permanent):
            why = calls.judged(error, one.name)
            if error.status == NOT_FOUND:
                continue
            if why is None:
                again.append((one, error))
            else:
                refused[one] = why
        left = [one for one, _ in again]
        if again:
            raise again[0][1]

    if left:
        calls.call("", ask)
    return refused
