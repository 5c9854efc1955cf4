"""The fields of a price card: the prices of one region, as of a date."""

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

# By HEAD's name: the access tier's name on the card, and the class with the same restore times (S3 User Guide).
_ARCHIVE_TIERS = {"ARCHIVE_ACCESS": ("ARCHIVE", "GLACIER"), "DEEP_ARCHIVE_ACCESS": ("DEEP_ARCHIVE", "DEEP_ARCHIVE")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A price that applies up to a cumulative quantity; `up_to_gb` is None for the last tier."""

    price: Decimal
    up_to_gb: Decimal | None = None


Tiers = tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Reading from a class: the price per GB and per 1,000 requests, and the shortest and longest hours."""

    gb: Decimal
    requests: Decimal
    hours: tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrices:
    """A storage class: GB-month by tiers, minimums and overhead per object, prices per 1,000 requests (None: unknown).

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
    """Prices per 1,000 requests that are the same in all classes."""

    list: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The price of a GB-month of database storage; 0 if the card has none."""

    gb: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Prices per GB sent: to the internet by tiers after a free allowance, to another region, to the CDN."""

    internet: Tiers
    internet_free_gb: Decimal
    inter_region: Decimal
    to_cdn: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnPlan:
    """A flat monthly CDN rate with its allowances: requests, GB delivered, GB of storage credited."""

    name: str
    monthly: Decimal
    requests: int
    gb: Decimal
    storage_gb: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdn:
    """Delivery to viewers: prices per GB by tiers, 1,000 requests and invalidated path, and monthly free allowances."""

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
    """Other prices: per 1,000, unless the name says per job or per GB; `expedited_capacity` is per unit and month."""

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
    """All prices of one region as of a date, in US dollars; `gb_bytes` is the size of the provider's GB.

    `not_counted` lists the provider's charges, allowances and conditions that no figure includes. A card's TOML file has
    the same field names.
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
        """Return the prices of a class; ConfigError if the card has none."""
        found = self.classes.get(storage_class) or self._archive_tier(storage_class)
        if found is None:
            known = ", ".join(self.classes)
            raise ConfigError(f"price card {self.name} has no storage class {storage_class}", hint=f"it has {known}")
        return found

    def every(self) -> Mapping[str, ClassPrices]:
        """All classes, including the archive tiers of Intelligent-Tiering."""
        tiers = {name: found for name in _ARCHIVE_TIERS if (found := self._archive_tier(name))}
        return {**self.classes, **tiers}

    def _archive_tier(self, name: str) -> ClassPrices | None:
        """Return an archive tier of Intelligent-Tiering as a class: its own GB price, only expedited restores cost."""
        whole, (access, like) = self.classes.get(INTELLIGENT_TIERING), _ARCHIVE_TIERS.get(name, ("", ""))
        if whole is None or access not in whole.access_tiers or like not in self.classes:
            return None
        # Restore times, and whether there are expedited restores, come from the corresponding class.
        restores = {
            tier: replace(whole.retrieval[tier], hours=one.hours)
            for tier, one in self.classes[like].retrieval.items()
            if tier in whole.retrieval
        }
        return replace(whole, storage=(Tier(price=whole.access_tiers[access]),), retrieval=restores)
