"""The price of rendering, printed before a run."""

from imgctl.cli.common.base import Running
from imgctl.ops.common.spend import Terms
from imgctl.pricing.estimate import Billing
from imgctl.units import count_of

# How many images need variants is known at the end.
_IMAGES = 1000


def say_price(run: Running, terms: Terms, *, puts: int) -> None:
    """Print the price of the requests for a thousand images, each a GET and `puts`; nothing if they are free."""
    if terms.bill is not Billing.NONE:
        price = terms.price(terms.requests(gets=_IMAGES, puts=puts * _IMAGES))
        run.say(f"requests for {count_of(_IMAGES, 'image')}: {price}")
