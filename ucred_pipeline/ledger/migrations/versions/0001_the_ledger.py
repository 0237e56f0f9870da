"""The first ledger: its tables, and the triggers that hold the invariants whoever writes.

What is written here never changes: a later version of the ledger is another migration.
"""

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_CORRECTION = {
    "planned": ("claimed", "superseded", "cancelled", "epoch_closed"),
    "claimed": ("sending", "planned", "superseded", "cancelled", "epoch_closed"),
    "sending": ("confirmed", "planned", "refused", "in_doubt", "epoch_closed"),
    "in_doubt": ("confirmed", "planned", "quarantined", "epoch_closed"),
    "quarantined": ("confirmed", "planned", "epoch_closed"),
    "refused": ("planned", "epoch_closed"),
    "superseded": ("planned", "epoch_closed"),
    "cancelled": ("planned", "epoch_closed"),
    "confirmed": ("epoch_closed",),
}
_ATTEMPT = {
    "sending": ("applied", "not_applied", "in_doubt", "moot"),
    "in_doubt": ("applied", "resolved_not_applied", "not_applied", "moot"),
    "not_applied": ("contradiction",),
    "resolved_not_applied": ("contradiction",),
    "applied": ("moot",),
}
_CORRECTION_FIXED = ("id", "payment_intent", "kind", "epoch", "namespace", "account", "amount", "created")
_ATTEMPT_FIXED = (
    "correction",
    "number",
    "run_id",
    "owner",
    "fence",
    "account",
    "amount",
    "memo",
    "build",
    "balance_before",
    "root_before",
    "account_quiet",
    "witness",
    "witness_wei",
    "began",
    "deadline",
    "settles_after",
)
_ATTEMPT_ONCE = ("finished", "answer", "http_status", "duration_us", "new_balance", "state_root")


def upgrade() -> None:
    """Create the tables, and what refuses an illegal change."""
    _create_tables()
    refuse = _refuse_sqlite if op.get_bind().dialect.name == "sqlite" else _refuse_postgresql
    differs = "IS NOT" if op.get_bind().dialect.name == "sqlite" else "IS DISTINCT FROM"
    if refuse is _refuse_postgresql:
        op.execute(_POSTGRESQL_FUNCTION)
    op.execute("INSERT INTO epochs (number, opened, actor, reason) VALUES (1, 0, 'ucred', 'the beginning')")
    op.execute(
        "INSERT INTO breaker (id, doubts_in_a_row, openings_in_a_row, one_at_a_time, token_refused) "
        "VALUES (1, 0, 0, false, false)"
    )
    for table, when, condition, message in _refusals(differs):
        for statement in refuse(table, when, condition, message):
            op.execute(statement)


def _refusals(differs: str) -> Iterator[tuple[str, str, str | None, str]]:
    for table in ("history", "decisions"):
        yield table, "UPDATE", None, f"{table} is only ever added to"
    for table in ("history", "decisions", "attempts", "corrections"):
        yield table, "DELETE", None, f"{table} keeps every row"
    yield "corrections", "INSERT", "NEW.state <> 'planned'", "a correction begins as planned"
    yield "attempts", "INSERT", "NEW.state <> 'sending'", "an attempt begins as sending"
    yield (
        "corrections",
        "UPDATE",
        _any_differs(_CORRECTION_FIXED, differs),
        "a correction keeps what it is for",
    )
    yield "attempts", "UPDATE", _any_differs(_ATTEMPT_FIXED, differs), "an attempt keeps what it sent"
    rewritten = " OR ".join(
        f"(OLD.{name} IS NOT NULL AND OLD.{name} {differs} NEW.{name})" for name in _ATTEMPT_ONCE
    )
    yield "attempts", "UPDATE", rewritten, "an attempt keeps what came of it"
    yield "corrections", "UPDATE", _illegal(_CORRECTION), "a correction does not change so"
    yield "attempts", "UPDATE", _illegal(_ATTEMPT), "an attempt does not change so"


def _any_differs(columns: Sequence[str], differs: str) -> str:
    return " OR ".join(f"OLD.{name} {differs} NEW.{name}" for name in columns)


def _illegal(transitions: Mapping[str, Sequence[str]]) -> str:
    legal = " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(repr(after) for after in afters)}))"
        for before, afters in transitions.items()
    )
    return f"OLD.state <> NEW.state AND NOT ({legal})"


def _trigger_name(table: str, when: str, message: str) -> str:
    return f"{table}_{when.lower()}_{message.replace(' ', '_')}"


def _refuse_sqlite(table: str, when: str, condition: str | None, message: str) -> Iterator[str]:
    clause = f"WHEN {condition} " if condition else ""
    yield (
        f"CREATE TRIGGER {_trigger_name(table, when, message)} BEFORE {when} ON {table} FOR EACH ROW {clause}"
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


_POSTGRESQL_FUNCTION = """
CREATE FUNCTION ucred_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$
"""


def _refuse_postgresql(table: str, when: str, condition: str | None, message: str) -> Iterator[str]:
    name, clause = _trigger_name(table, when, message), f"WHEN ({condition}) " if condition else ""
    call = f"EXECUTE FUNCTION ucred_refuse('{message}')"
    yield f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH ROW {clause}{call}"
    if when == "DELETE":
        yield f"CREATE TRIGGER {name}_at_once BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {call}"


def _create_tables() -> None:
    op.create_table(
        "balances",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("wei", sa.String(39), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_balances")),
    )
    op.create_table(
        "breaker",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("doubts_in_a_row", sa.Integer(), nullable=False),
        sa.Column("openings_in_a_row", sa.Integer(), nullable=False),
        sa.Column("one_at_a_time", sa.Boolean(), nullable=False),
        sa.Column("token_refused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaker")),
    )
    op.create_table(
        "breaks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("resolved", sa.BigInteger(), nullable=True),
        sa.Column("resolution", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaks")),
    )
    op.create_index(op.f("ix_breaks_payment_intent"), "breaks", ["payment_intent"])
    op.create_index(op.f("ix_breaks_resolved"), "breaks", ["resolved"])
    op.create_table(
        "credit_lines",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.String(39), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("correction", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("new_balance", sa.String(39), nullable=False),
        sa.Column("state_root", sa.String(length=64), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_credit_lines")),
    )
    op.create_index(op.f("ix_credit_lines_account"), "credit_lines", ["account"])
    op.create_index(op.f("ix_credit_lines_namespace"), "credit_lines", ["namespace"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("balance", sa.String(39), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_payment_intent"), "decisions", ["payment_intent"])
    op.create_table(
        "dirty_groups",
        sa.Column("judged_with", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("judged_with", name=op.f("pk_dirty_groups")),
    )
    op.create_table(
        "dirty_payments",
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("payment_intent", name=op.f("pk_dirty_payments")),
    )
    op.create_table(
        "epochs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_epochs")),
    )
    op.create_table(
        "history",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_history")),
    )
    op.create_index(op.f("ix_history_subject"), "history", ["subject"])
    op.create_table(
        "holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised", sa.BigInteger(), nullable=False),
        sa.Column("raised_by", sa.Text(), nullable=False),
        sa.Column("released", sa.BigInteger(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("release_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(op.f("ix_holds_released"), "holds", ["released"])
    op.create_table(
        "issuances",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("customer_email", sa.Text(), nullable=False),
        sa.Column("nil_name", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("voided", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuances")),
    )
    op.create_index(op.f("ix_issuances_payment_intent"), "issuances", ["payment_intent"])
    op.create_table(
        "mint_lines",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_mint_lines")),
    )
    op.create_index(op.f("ix_mint_lines_account"), "mint_lines", ["account"])
    op.create_index(op.f("ix_mint_lines_namespace"), "mint_lines", ["namespace"])
    op.create_table(
        "notes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notes")),
    )
    op.create_table(
        "payment_records",
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("customer_email", sa.Text(), nullable=False),
        sa.Column("namespace_reserved", sa.Text(), nullable=True),
        sa.Column("nil_name", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_intent", name=op.f("pk_payment_records")),
    )
    op.create_table(
        "payments",
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("dispute", sa.String(length=16), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=True),
        sa.Column("receipt_email", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("payment_intent", name=op.f("pk_payments")),
    )
    op.create_index(op.f("ix_payments_created"), "payments", ["created"])
    op.create_table(
        "plans",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("wei", sa.String(39), nullable=False),
        sa.Column("over", sa.JSON(), nullable=False),
        sa.Column("approved", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_state"), "plans", ["state"])
    op.create_table(
        "purchases",
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("judged_with", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("purchase_type", sa.String(length=32), nullable=False),
        sa.Column("entitlement", sa.String(39), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("needs_certificate", sa.Boolean(), nullable=False),
        sa.Column("is_foreign", sa.Boolean(), nullable=False),
        sa.Column("payment_known", sa.Boolean(), nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("refunded", sa.Boolean(), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("voided", sa.Boolean(), nullable=False),
        sa.Column("addresses_differ", sa.Boolean(), nullable=False),
        sa.Column("issued_rows", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=True),
        sa.Column("due_since", sa.BigInteger(), nullable=True),
        sa.Column("moved", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("basis", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("judged", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("payment_intent", name=op.f("pk_purchases")),
    )
    op.create_index(op.f("ix_purchases_created"), "purchases", ["created"])
    op.create_index(op.f("ix_purchases_issued"), "purchases", ["issued"])
    op.create_index(op.f("ix_purchases_judged_with"), "purchases", ["judged_with"])
    op.create_index(op.f("ix_purchases_namespace"), "purchases", ["namespace"])
    op.create_index(op.f("ix_purchases_verdict"), "purchases", ["verdict"])
    op.create_table(
        "reads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reads")),
    )
    op.create_index("ix_reads_source_closed", "reads", ["source", "closed", "id"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_began"), "runs", ["began"])
    op.create_table(
        "sweep_windows",
        sa.Column("sweep_since", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sweep_since", "since", "until", name=op.f("pk_sweep_windows")),
    )
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.String(39), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["epoch"], ["epochs.number"], name=op.f("fk_corrections_epochs")),
        sa.ForeignKeyConstraint(["plan"], ["plans.hash"], name=op.f("fk_corrections_plans")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
        sa.UniqueConstraint(
            "payment_intent", "kind", "epoch", name=op.f("uq_corrections_payment_intent_kind_epoch")
        ),
    )
    op.create_index(op.f("ix_corrections_payment_intent"), "corrections", ["payment_intent"])
    op.create_index(op.f("ix_corrections_state"), "corrections", ["state"])
    op.create_index(
        "uq_corrections_one_active_for_an_account",
        "corrections",
        ["account"],
        unique=True,
        sqlite_where=sa.text("state IN ('claimed', 'in_doubt', 'quarantined', 'sending')"),
        postgresql_where=sa.text("state IN ('claimed', 'in_doubt', 'quarantined', 'sending')"),
    )
    op.create_index(
        "uq_corrections_one_for_a_purchase",
        "corrections",
        ["payment_intent", "epoch"],
        unique=True,
        sqlite_where=sa.text("NOT state IN ('cancelled', 'refused', 'superseded')"),
        postgresql_where=sa.text("NOT state IN ('cancelled', 'refused', 'superseded')"),
    )
    op.create_table(
        "plan_items",
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.String(39), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["plan"], ["plans.hash"], name=op.f("fk_plan_items_plans")),
        sa.PrimaryKeyConstraint("plan", "payment_intent", name=op.f("pk_plan_items")),
    )
    op.create_table(
        "attempts",
        sa.Column("correction", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.String(39), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("build", sa.Text(), nullable=False),
        sa.Column("balance_before", sa.String(39), nullable=False),
        sa.Column("root_before", sa.String(length=64), nullable=False),
        sa.Column("account_quiet", sa.Boolean(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=True),
        sa.Column("witness_wei", sa.String(39), nullable=True),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("settles_after", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(length=64), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("new_balance", sa.String(39), nullable=True),
        sa.Column("state_root", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["correction"], ["corrections.id"], name=op.f("fk_attempts_corrections")),
        sa.PrimaryKeyConstraint("correction", "number", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_began", "attempts", ["began"])
    op.create_index(op.f("ix_attempts_state"), "attempts", ["state"])
    op.create_index(
        "uq_attempts_one_live_for_a_correction",
        "attempts",
        ["correction"],
        unique=True,
        sqlite_where=sa.text("state IN ('applied', 'in_doubt', 'sending')"),
        postgresql_where=sa.text("state IN ('applied', 'in_doubt', 'sending')"),
    )
