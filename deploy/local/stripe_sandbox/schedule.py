"""Things that happen by themselves later: a debit clears, a refund settles, a hold lapses."""

from collections.abc import Callable, Mapping

from deploy.local.stripe_sandbox.alarm import Alarm
from deploy.local.stripe_sandbox.store import Store, Transaction

# Does what was scheduled for an object; finding that it no longer applies, it does nothing.
Action = Callable[[Transaction, str], None]


def after(tx: Transaction, seconds: float, action: str, object_id: str) -> None:
    tx.sql.execute(
        "INSERT INTO timers (due, action, object) VALUES (?, ?, ?)",
        (tx.now + seconds, action, object_id),
    )


def advance(tx: Transaction, object_id: str | None, *, but_not: str) -> int:
    """Make what is scheduled, for one object or all, due now; answers how much that is."""
    changed = tx.sql.execute(
        "UPDATE timers SET due = ? WHERE action <> ? AND (? IS NULL OR object = ?)",
        (tx.now, but_not, object_id, object_id),
    )
    return changed.rowcount


class Scheduler:
    """Runs due actions, each in its own transaction, and sleeps in between."""

    def __init__(
        self, store: Store, actions: Mapping[str, Action], on_change: Callable[[], None]
    ) -> None:
        self._store = store
        self._actions = actions
        self._on_change = on_change
        self.alarm = Alarm()

    async def run(self) -> None:
        while True:
            self.run_due()
            due = self._next_due()
            await self.alarm.wait(None if due is None else due - self._store.now())

    def run_due(self) -> None:
        while (due := self._next_due()) is not None and due <= self._store.now():
            self._run_next()
            self._on_change()

    def _next_due(self) -> float | None:
        row = self._store.reading().sql.execute("SELECT min(due) FROM timers").fetchone()
        due: float | None = row[0]
        return due

    def _run_next(self) -> None:
        with self._store.transaction() as tx:
            row = tx.sql.execute(
                "SELECT id, action, object FROM timers WHERE due <= ? ORDER BY due, id LIMIT 1",
                (tx.now,),
            ).fetchone()
            if row is None:
                return
            timer, action, object_id = row
            tx.sql.execute("DELETE FROM timers WHERE id = ?", (timer,))
            self._actions[action](tx, object_id)
