"""What a price card holds: the prices of one region, as of a date."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from imgctl.errors import ConfigError

STANDARD = "STANDARD"
INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
CLASSES = (
    STANDARD,
    "STANDARD_IA",
    "ONEZONE_IA",
    INTELLIGENT_TIERING,
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "EXPRESS_ONEZONE",
    "REDUCED_REDUNDANCY",
    "NEARLINE",
    "COLDLINE",
    "ARCHIVE",
    "COOL",
    "COLD",
    "AZURE_ARCHIVE",
)

# By HEAD's name: the card's name of the access tier, and the class whose restores take as long (S3 User Guide).
_ARCHIVE_TIERS = {"ARCHIVE_ACCESS": ("ARCHIVE", "GLACIER"), "DEEP_ARCHIVE_ACCESS": ("DEEP_ARCHIVE", "DEEP_ARCHIVE")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A price that holds up to a cumulative quantity; `up_to_gb` is None for the last."""

    price: Decimal
    up_to_gb: Decimal | None = None


Tiers = tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Reading from a class: a GB, 1,000 requests, and how long it takes from and to in hours."""

    gb: Decimal
    requests: Decimal
    hours: tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrices:
    """One storage class: a GB-month by tiers, minimums and overhead an object, prices of 1,000 requests (None: unknown).

    `overhead_bytes` are billed at this class's rate, `overhead_standard_bytes` at that of STANDARD.
    """

    storage: Tiers
    put: Decimal | None = None
    get: Decimal | None = None
    transition: Decimal | None = None
    minimum_days: int = 0
    minimum_bytes: int = 0
    overhead_bytes: int = 0
    overhead_standard_bytes: int = 0
    monitoring: Decimal = Decimal(0)
    monitored_bytes: int = 0
    access_tiers: Mapping[str, Decimal] = field(default_factory=dict)
    retrieval: Mapping[str, Retrieval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """1,000 requests that have one price in all classes."""

    list: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A GB-month of database storage; nothing where a card doesn't say."""

    gb: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A GB that leaves: to the internet by tiers after a free allowance, to another region, to the CDN."""

    internet: Tiers
    internet_free_gb: Decimal
    inter_region: Decimal
    to_cdn: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnPlan:
    """A flat monthly rate with its allowances: requests, GB delivered, GB of storage credited."""

    name: str
    monthly: Decimal
    requests: int
    gb: Decimal
    storage_gb: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdn:
    """Delivery to viewers: a GB by tiers, 1,000 requests, an invalidated path, what is free each month."""

    internet: Tiers
    free_gb: Decimal
    free_requests: int
    https: Decimal
    http: Decimal
    invalidation: Decimal
    free_invalidations: int
    plans: tuple[CdnPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What else is billed: 1,000 of each unless the name says a job, a GB or (`expedited_capacity`) a unit a month."""

    tags: Decimal
    inventory: Decimal
    batch_job: Decimal
    batch_objects: Decimal
    batch_manifest: Decimal
    checksum_gb: Decimal
    metadata_updates: Decimal
    metadata_backfill: Decimal
    storage_lens: Decimal
    kms: Decimal
    expedited_capacity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All prices of one region as of a date, in US dollars; `gb_bytes` is what the provider calls a GB.

    `not_counted` says what the provider bills, gives or asks that no figure here holds. A card's file has these fields by these names.
    """

    name: str
    region: str
    as_of: date
    source: str
    gb_bytes: int
    classes: Mapping[str, ClassPrices]
    requests: Requests
    transfer: Transfer
    cdn: Cdn
    extras: Extras
    database: Database = Database()
    not_counted: tuple[str, ...] = ()

    def of(self, storage_class: str) -> ClassPrices:
        """The prices of a class; ConfigError where the card has none."""
        found = self.classes.get(storage_class) or self._archive_tier(storage_class)
        if found is None:
            known = ", ".join(self.classes)
            raise ConfigError(f"price card {self.name} has no storage class {storage_class}", hint=f"it has {known}")
        return found

    def every(self) -> Mapping[str, ClassPrices]:
        """All classes, the archive tiers of Intelligent-Tiering among them."""
        tiers = {name: found for name in _ARCHIVE_TIERS if (found := self._archive_tier(name))}
        return {**self.classes, **tiers}

    def _archive_tier(self, name: str) -> ClassPrices | None:
        """An archive tier of Intelligent-Tiering as a class: a GB of its own, restores without a fee but expedited ones."""
        whole, (access, like) = self.classes.get(INTELLIGENT_TIERING), _ARCHIVE_TIERS.get(name, ("", ""))
        if whole is None or access not in whole.access_tiers or like not in self.classes:
            return None
        # As long as from the class it is likened to, which says too whether there are expedited restores.
        restores = {
            tier: replace(whole.retrieval[tier], hours=one.hours)
            for tier, one in self.classes[like].retrieval.items()
            if tier in whole.retrieval
        }
        return replace(whole, storage=(Tier(price=whole.access_tiers[access]),), retrieval=restores)
