"""Agreement to costs: a store that bills nothing needs none, any other needs --yes or a sufficient budget."""

from decimal import Decimal

import pytest

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.ops.common.spend import Terms, agree, terms_of
from imgctl.pricing.estimate import Billing

TERMS = terms_of(Settings(), endpoint_url="")


@pytest.mark.parametrize("bill", [Billing.AWS, Billing.OTHER])
def test_a_billed_operation_needs_yes_or_a_budget_that_covers_it(bill: Billing) -> None:
    terms = Terms(bill=bill, card=TERMS.card)
    agree("moving", Decimal(5), terms, yes=True)
    agree("moving", Decimal(5), terms, yes=False, max_usd=Decimal(5))
    agree("moving", Decimal(5), terms, yes=False, dry_run=True)

    with pytest.raises(UsageError, match="needs --yes"):
        agree("moving", Decimal(5), terms, yes=False)
    with pytest.raises(UsageError, match="more than --max-usd 4"):
        agree("moving", Decimal(5), terms, yes=True, max_usd=Decimal(4))
    with pytest.raises(UsageError, match="needs --yes"):
        agree("moving", None, terms, yes=False)


def test_a_store_that_bills_nothing_needs_no_agreement() -> None:
    agree("moving", Decimal(5), TERMS, yes=False, max_usd=Decimal(0))

    with pytest.raises(UsageError):
        agree("moving", Decimal(5), Terms(bill=Billing.AWS, card=TERMS.card), yes=False, max_usd=Decimal(0))
