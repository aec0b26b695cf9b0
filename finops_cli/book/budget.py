"""The borrow budget of the whole book: money in the order of the queue (kb: `book.budget`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from finops_cli.book.allocation.pool import BookPool, can_serve
from finops_cli.domain.money import parse_usd
from finops_cli.errors import UsageError
from finops_cli.kb.chapters.book import BookRules


@dataclass(slots=True)
class _Account:
    """The shares that one security may borrow so far, and those that its fails lack without."""

    cost: Fraction
    """US dollars of collateral for a share."""
    lendable: int
    cap: int = 0
    sources: list[tuple[int | None, int]] = field(default_factory=list)
    """Transit and shares of each source that does not lend; None: it reaches every fail."""
    owed: dict[int | None, int] = field(default_factory=dict)
    """Shares of the fails so far, by their days left."""

    def add(self, owed: int, days_left: int | None) -> int:
        """Add a fail; returns the shares that all fails so far lack without borrowing.

        Sources reach nested sets of fails, so the worst deadline gives the lack.
        """
        self.owed[days_left] = self.owed.get(days_left, 0) + owed
        worst, sum_owed = 0, 0
        for days in sorted(self.owed, key=lambda each: (each is not None, each or 0)):
            sum_owed += self.owed[days]
            reach = sum(
                qty
                for transit, qty in self.sources
                if transit is None or can_serve("DEPOT", transit, days)
            )
            worst = max(worst, sum_owed - reach)
        return worst

    def grant(self, want: int, left: Fraction) -> Fraction:
        """Raise the cap by what is wanted, as far as the money goes; returns what is left."""
        shares = min(want, self.lendable - self.cap)
        if self.cost:
            shares = min(shares, int(left / self.cost))
        if shares <= 0:
            return left
        self.cap += shares
        return left - shares * self.cost


class Budget:
    """The caps of the securities whose shares can be borrowed."""

    def __init__(self, usd: Decimal, collateral: Fraction) -> None:
        """`usd`: the whole budget; `collateral`: dollars for each dollar that is borrowed."""
        self.usd = usd
        self.left = Fraction(usd)
        self._collateral = collateral
        self._accounts: dict[str, _Account] = {}
        self._owed: dict[tuple[str, str], tuple[int, int | None]] = {}
        self._may_be_late: set[str] = set()

    def renew(self) -> Budget:
        """Return a budget of the same money, of which nothing is spent."""
        return Budget(self.usd, self._collateral)

    def add(self, pool: BookPool, price: Fraction | None) -> None:
        """Open the account of a security with a lender. A price is US dollars a share."""
        lendable = sum(source.qty for source in pool.sources if source.kind == "BORROW")
        if not lendable or price is None:
            return
        self._accounts[pool.cusip] = _Account(
            cost=price * self._collateral,
            lendable=lendable,
            sources=[
                (source.days if source.kind == "DEPOT" else None, source.qty)
                for source in pool.sources
                if source.kind != "BORROW" and source.qty
            ],
        )
        for fail in pool.fails:
            self._owed[pool.cusip, fail.fail_id] = fail.owed, fail.days_left
        if pool.receives_late or any(
            source.kind == "RECALL" and source.qty for source in pool.sources
        ):
            self._may_be_late.add(pool.cusip)

    def cap(self, cusip: str) -> int | None:
        """Return the most shares that a security may borrow; None where nothing is lent."""
        account = self._accounts.get(cusip)
        return None if account is None else account.cap

    def grant_uncovered(self, queue: Iterable[tuple[str, str]]) -> None:
        """Spend on shares that no plan covers without borrowing. `queue`: security and fail."""
        for cusip, name in queue:
            account, owed = self._accounts.get(cusip), self._owed.get((cusip, name))
            if account is not None and owed is not None:
                lacking = account.add(*owed)
                want = min(account.lendable, lacking) - account.cap
                self.left = account.grant(want, self.left)

    def grant_late(
        self,
        queue: Iterable[tuple[str, str]],
        find_late: Callable[[str, int], dict[str, int]],
    ) -> None:
        """Spend on shares that would come late.

        `find_late` plans a security under a cap, and returns the late shares of its fails.
        """
        late: dict[str, dict[str, int]] = {}
        for cusip, name in queue:
            account = self._accounts.get(cusip)
            if account is None or cusip not in self._may_be_late:
                continue
            if account.cap >= account.lendable:
                continue
            if cusip not in late:
                late[cusip] = find_late(cusip, account.cap)
            want = late[cusip].get(name, 0)
            before = account.cap
            if want:
                self.left = account.grant(want, self.left)
            if account.cap != before:
                del late[cusip]


def read_budget(given: str, rules: BookRules) -> Budget:
    """Read an amount of US dollars as a budget. Raises UsageError."""
    try:
        usd = parse_usd(given)
    except ValueError as error:
        raise UsageError(
            f"--borrow-budget is {given}; accepted: US dollars, such as 2500000 or $2.5M",
            "give an amount of 0 or more",
        ) from error
    return Budget(usd, rules.collateral)
