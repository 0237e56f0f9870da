"""The tables of the ledger.

Mirrors of the outside (`payments`, `payment_records`, `issuances`, `balances`, `credit_lines`,
`mint_lines`), what each read covered (`reads`), what was concluded (`purchases`, `breaks`), what is
done about it (`plans`, `plan_items`, `corrections`, `attempts`, `epoch_anchors`, `holds`, `decisions`), what
happened (`history`, `runs`, `reconciliation_days`, `mint_counters`), and who is told of it (`alerts`,
`silences`, `outbox`). Amounts are wei as decimal digits, times UTC microseconds since 1970. Triggers and
partial indexes, which hold the invariants of corrections whoever writes, are in the migrations.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ucred_pipeline.domain.corrections import ACTIVE, LIVE_ATTEMPT, NO_CREDIT
from ucred_pipeline.ledger.columns import Moment, Wei

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


#: SQLite's tables were made with a limit that it ignores.
_A_PERSONS_REASON: Final = Text().with_variant(String(64), "sqlite")


def _among(column: str, states: frozenset[str]) -> str:
    listed = ", ".join(f"'{state}'" for state in sorted(states))
    return f"{column} IN ({listed})"


# Mirrors

payments = Table(
    "payments",
    metadata,
    Column("payment_intent", String(255), primary_key=True),
    Column("created", Moment, nullable=False, index=True),
    Column("status", String(64), nullable=False),
    Column("currency", String(16), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("dispute", String(16), nullable=False),
    Column("paid", Moment),
    Column("receipt_email", Text, index=True),
    Column("metadata", JSON, nullable=False),
    Column("read", Moment),
    Index("ix_payments_status", "status", "payment_intent"),
)

payment_records = Table(
    "payment_records",
    metadata,
    Column("payment_intent", String(255), primary_key=True),
    Column("customer_email", Text, nullable=False, index=True),
    Column("namespace_reserved", Text),
    Column("nil_name", Text),
    Column("status", String(64), nullable=False),
    Column("created", Moment, nullable=False),
)

issuances = Table(
    "issuances",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("payment_intent", String(255), nullable=False, index=True),
    Column("namespace", Text, nullable=False, index=True),
    Column("customer_email", Text, nullable=False, index=True),
    Column("nil_name", Text),
    Column("state", String(64), nullable=False, index=True),
    Column("issued", Moment, nullable=False),
    Column("voided", Moment),
)

balances = Table(
    "balances",
    metadata,
    Column("account", Text, primary_key=True),
    Column("wei", Wei, nullable=False),
    Column("began", Moment, nullable=False),
    Column("root", String(64)),
)

credit_lines = Table(
    "credit_lines",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("account", Text, nullable=False, index=True),
    Column("amount", Wei, nullable=False),
    Column("memo", Text, nullable=False),
    Column("namespace", Text, index=True),
    Column("correction", String(16)),
    Column("attempt", Integer),
    Column("new_balance", Wei, nullable=False),
    Column("state_root", String(64), nullable=False),
    Column("current", Boolean, nullable=False),
)

mint_lines = Table(
    "mint_lines",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("account", Text, index=True),
    Column("namespace", Text, index=True),
)

reads = Table(
    "reads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("source", String(32), nullable=False),
    Column("began", Moment, nullable=False),
    Column("finished", Moment, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_reads_source_closed", "source", "closed", "id"),
    Index("ix_reads_of_run", "run_id", "source", "closed"),
)

sweep_windows = Table(
    "sweep_windows",
    metadata,
    Column("sweep_since", Moment, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    PrimaryKeyConstraint("sweep_since", "since", "until"),
)

# Conclusions

dirty_payments = Table("dirty_payments", metadata, Column("payment_intent", String(255), primary_key=True))
dirty_groups = Table("dirty_groups", metadata, Column("judged_with", Text, primary_key=True))

purchases = Table(
    "purchases",
    metadata,
    Column("payment_intent", String(255), primary_key=True),
    Column("judged_with", Text, nullable=False, index=True),
    Column("account", Text, index=True),
    Column("namespace", Text, index=True),
    Column("purchase_type", String(32), nullable=False),
    Column("entitlement", Wei, nullable=False),
    Column("rule", String(64), nullable=False),
    Column("needs_certificate", Boolean, nullable=False),
    Column("is_foreign", Boolean, nullable=False),
    Column("payment_known", Boolean, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Column("refunded", Boolean, nullable=False),
    Column("disputed", Boolean, nullable=False),
    Column("voided", Boolean, nullable=False),
    Column("addresses_differ", Boolean, nullable=False),
    Column("issued_rows", Integer, nullable=False),
    Column("created", Moment, nullable=False, index=True),
    Column("issued", Moment),
    Column("due_since", Moment),
    Column("moved", Boolean, nullable=False, default=False),
    Column("verdict", String(16)),
    Column("basis", String(16)),
    Column("reason", String(64)),
    Column("judged", Moment),
    Column("minted", Boolean),
    Column("arrived", Moment),
    Column("counted", Boolean),
    Index(
        "ix_purchases_tallies",
        *("verdict", "entitlement", "payment_known", "succeeded", "issued_rows", "minted"),
    ),
)
#: All that the figures of the mint ask for, so that they read no purchase.
Index(
    "ix_purchases_mints",
    purchases.c.issued,
    purchases.c.minted,
    purchases.c.arrived,
    sqlite_where=purchases.c.minted.is_not(None),
    postgresql_where=purchases.c.minted.is_not(None),
)

#: The accounts on which a purchase may have been credited before it had another.
accounts_left = Table(
    "accounts_left",
    metadata,
    Column("payment_intent", String(255), primary_key=True),
    Column("account", Text, primary_key=True, index=True),
    Column("at_stripe", Boolean, nullable=False),
)

breaks = Table(
    "breaks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("payment_intent", String(255), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("resolved", Moment),
    Column("resolution", String(64)),
)
for _name, _columns in {
    "ix_breaks_open_by_age": (breaks.c.first_seen, breaks.c.id, breaks.c.resolved),
    "ix_breaks_open_by_kind": (breaks.c.kind, breaks.c.first_seen, breaks.c.id, breaks.c.resolved),
}.items():
    Index(
        _name,
        *_columns,
        sqlite_where=breaks.c.resolved.is_(None),
        postgresql_where=breaks.c.resolved.is_(None),
    )

# What is done about it

epochs = Table(
    "epochs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("opened", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("created", Moment, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("items", Integer, nullable=False),
    Column("wei", Wei, nullable=False),
    Column("over", JSON, nullable=False),
    Column("approved", Moment),
    Column("approved_by", Text),
    Column("expires", Moment),
)

plan_items = Table(
    "plan_items",
    metadata,
    Column("plan", String(64), ForeignKey("plans.hash"), nullable=False),
    Column("payment_intent", String(255), nullable=False),
    Column("namespace", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount", Wei, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    PrimaryKeyConstraint("plan", "payment_intent"),
    Index("ix_plan_items_payment_intent", "payment_intent"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("payment_intent", String(255), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("epoch", Integer, ForeignKey("epochs.number"), nullable=False),
    Column("namespace", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount", Wei, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", _A_PERSONS_REASON, nullable=False),
    Column("plan", String(64), ForeignKey("plans.hash")),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
    Column("owner", Text),
    Column("fence", Integer, nullable=False),
    Column("due", Moment),
    Column("failures", Integer, nullable=False),
    UniqueConstraint("payment_intent", "kind", "epoch"),
)
Index(
    "uq_corrections_one_for_a_purchase",
    corrections.c.payment_intent,
    corrections.c.epoch,
    unique=True,
    sqlite_where=text(f"NOT {_among('state', NO_CREDIT)}"),
    postgresql_where=text(f"NOT {_among('state', NO_CREDIT)}"),
)
Index(
    "uq_corrections_one_active_for_an_account",
    corrections.c.account,
    unique=True,
    sqlite_where=text(_among("state", ACTIVE)),
    postgresql_where=text(_among("state", ACTIVE)),
)

attempts = Table(
    "attempts",
    metadata,
    Column("correction", String(16), ForeignKey("corrections.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(24), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("owner", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount", Wei, nullable=False),
    Column("memo", Text, nullable=False),
    Column("build", Text, nullable=False),
    Column("balance_before", Wei, nullable=False),
    Column("root_before", String(64), nullable=False),
    Column("account_quiet", Boolean, nullable=False),
    Column("witness", Text),
    Column("witness_wei", Wei),
    Column("began", Moment, nullable=False),
    Column("deadline", Moment, nullable=False),
    Column("settles_after", Moment, nullable=False),
    Column("finished", Moment),
    Column("answer", String(64)),
    Column("http_status", Integer),
    Column("duration_us", BigInteger),
    Column("new_balance", Wei),
    Column("state_root", String(64)),
    PrimaryKeyConstraint("correction", "number"),
)
Index(
    "uq_attempts_one_live_for_a_correction",
    attempts.c.correction,
    unique=True,
    sqlite_where=text(_among("state", LIVE_ATTEMPT)),
    postgresql_where=text(_among("state", LIVE_ATTEMPT)),
)
Index("ix_attempts_began", attempts.c.began)
Index("ix_attempts_state", attempts.c.state, attempts.c.began)

epoch_anchors = Table(
    "epoch_anchors",
    metadata,
    Column("account", Text, primary_key=True),
    Column("epoch", Integer, ForeignKey("epochs.number"), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("memo", Text, nullable=False),
    Column("began", Moment, nullable=False),
    Column("acknowledged", Moment),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("payment_intent", String(255), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("account", Text),
    Column("balance", Wei),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raised", Moment, nullable=False),
    Column("raised_by", Text, nullable=False),
    Column("released", Moment, index=True),
    Column("released_by", Text),
    Column("release_reason", Text),
)

breaker = Table(
    "breaker",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("doubts_in_a_row", Integer, nullable=False),
    Column("openings_in_a_row", Integer, nullable=False),
    Column("one_at_a_time", Boolean, nullable=False),
    Column("token_refused", Boolean, nullable=False),
)

# What happened

history = Table(
    "history",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("event", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("began", Moment, nullable=False, index=True),
    Column("finished", Moment, index=True),
    Column("applied", Boolean, nullable=False),
    Column("since", Moment),
    Column("until", Moment),
    Column("outcome", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("job", String(64), nullable=False, server_default=text("'reconciliation'")),
    Index("ix_runs_job", "job", "began"),
)

reconciliation_days = Table(
    "reconciliation_days",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("changed", Moment),
    Column("reconciled", Moment),
    Column("failed", Moment),
    Column("failure", String(32)),
)

mint_counters = Table(
    "mint_counters",
    metadata,
    Column("name", String(32), nullable=False),
    Column("label", String(32), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", "label"),
)

notes = Table(
    "notes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

# Who is told of what

alerts = Table(
    "alerts",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("name", String(32), nullable=False, index=True),
    Column("labels", JSON, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("told", Text, nullable=False),
    Column("bad_in_a_row", Integer, nullable=False),
    Column("good_in_a_row", Integer, nullable=False),
    Column("fired", Moment),
    Column("resolved", Moment),
    Column("announced", Moment),
    Column("is_announced", Boolean, nullable=False),
    Column("remind_at", Moment),
    Column("withheld", Boolean, nullable=False),
    Column("acknowledged", Moment),
    Column("acknowledged_by", Text),
)

silences = Table(
    "silences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(32), nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("alert", String(32), nullable=False),
    Column("route", String(16), nullable=False),
    Column("event", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("due", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_until", Moment),
    Column("delivered", Moment),
    Index("ix_outbox_route_delivered", "route", "delivered", "id"),
)
