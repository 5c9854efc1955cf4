"""Decisions to start from: what the lab page offers, and what its test compares with the model."""

from dataclasses import dataclass, replace
from typing import Final

from imgctl.model import Variant
from imgctl.pricing.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named decision: what it changes in a plan, the rest stays."""

    name: str
    label: str
    cdn: bool = True
    originals: str = "STANDARD"
    drop: tuple[str, ...] = ()

    def of(self, plan: Plan) -> Plan:
        """The plan with the decision made."""
        sizes = {name: size for name, size in plan.sizes.items() if name not in self.drop}
        return replace(plan, cdn=self.cdn, originals=self.originals, sizes=sizes)


PRESETS: Final = (
    Preset(name="baseline", label="Baseline"),
    Preset(name="cdn-off", label="CDN off", cdn=False),
    Preset(name="glacier", label="Originals to Glacier", originals="GLACIER"),
    Preset(name="skip-medium", label="Skip medium", drop=(Variant.MEDIUM.value,)),
)
