"""Read what batches have cost so far."""

from collections.abc import Mapping

from ringproof.batches.model import Batch
from ringproof.batches.prices import Cost, Payment, Prices, amount_of
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import LISTS


class Costs:
    """The costs of several batches, read together. A resend's are those of the batch that pays for it.

    `hashes` has the hash of each batch by its name. Those of other batches that pay are read here.
    """

    def __init__(self, ledger: Ledger, hashes: Mapping[str, Mapping[str, str]]) -> None:
        payers = {fields["pays"] for fields in hashes.values() if fields.get("pays")} - hashes.keys()
        others = ledger.run_all(*(("hgetall", ledger.keys.batch(name).batch) for name in payers)) if payers else ()
        self._hashes: Mapping[str, Mapping[str, str]] = {**hashes, **dict(zip(payers, others, strict=True))}

    def of(self, batch: Batch) -> Cost | None:
        """Return what a batch has cost; None if it has no prices."""
        payer = self._hashes[batch.name].get("pays")
        if not payer:
            return None
        paying = self._hashes[payer]
        if "prices" not in paying:  # its hash has expired
            return None
        currency, budget = paying.get("currency", ""), paying.get("budget")
        prices = Prices.unpack(paying["prices"], currency)
        missing = prices.without((country, channel) for country in batch.countries for channel in LISTS)
        return Cost(
            spent=amount_of(paying.get("spent", "0")),
            budget=amount_of(budget) if budget is not None else None,
            currency=currency,
            unpriced=tuple(name for name in missing if "/" not in name),
            payer=payer,
        )


def payment_of_resend(ledger: Ledger, name: str) -> Payment:
    """Return how a resend of a batch would be paid for: at the same prices, from what is left of the same budget."""
    payer = ledger.run("hget", ledger.keys.batch(name).batch, "pays")
    if not payer:
        return Payment()
    packed, currency, spent, budget = ledger.run(
        "hmget", ledger.keys.batch(payer).batch, "prices", "currency", "spent", "budget"
    )
    if not packed:
        return Payment()
    left = None if budget is None else amount_of(int(budget) - int(spent))
    return Payment(Prices.unpack(packed, currency or ""), left, payer)
