"""From every older schema to this one, by Alembic's operations.

How to add a schema: change the tables in `schema.py` (or in a module of your own on `schema.public` or
`schema.private`, named in TABLES), raise `schema.SCHEMA`, and add to MIGRATIONS what makes the former schema the new
one: one function a half. A migration says what to do in its own words and imports no table of today, because today's
change. It runs in the one transaction of its half; a new table or a column that may be empty is never a problem.
`tests/ledger/test_migrations.py` then compares what it makes with a new ledger, on both databases.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations
    from sqlalchemy.engine import Connection

# Modules that declare tables; all of them belong to a new ledger.
TABLES: tuple[str, ...] = ("breakeven.ledger.schema", "breakeven.ledger.invoices", "breakeven.ledger.servers")


def _nothing(_op: Operations, _schema: str | None) -> None:
    """This half does not change."""


@dataclass(frozen=True)
class Migration:
    """What makes a schema the next one. Each takes Alembic's operations and the half's schema name (None: none)."""

    public: Callable[[Operations, str | None], None] = _nothing
    private: Callable[[Operations, str | None], None] = _nothing


def _to_2(op: Operations, _schema: str | None) -> None:
    """Late events, corrections, closed months, erasure, rotation of keys, invoices."""
    _invoices(op)
    op.add_column("customers", sa.Column("erased", sa.BigInteger()))
    op.add_column("keys", sa.Column("replaces", sa.String(16)))
    op.add_column("events", sa.Column("counted", sa.BigInteger()))
    for name, column, condition in (("events_counted", "counted", "counted IS NOT NULL"),
                                    ("events_about", "about", "about <> ''")):  # fmt: skip
        op.create_index(name, "events", [column], sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
    op.create_table(
        "closed_periods",
        sa.Column("customer", sa.String(40), primary_key=True),
        sa.Column("period", sa.String(7), primary_key=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
    )
    position = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "erasures",
        sa.Column("position", position, primary_key=True, autoincrement=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.String(40), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
    )


def _to_2_private(op: Operations, schema: str | None) -> None:
    _buyers(op, schema)
    op.create_table(
        "notes",
        sa.Column("event", sa.String(64), primary_key=True),
        sa.Column("customer", sa.String(40), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        schema=schema,
    )
    prefix = f"{schema}_" if schema else "private_"  # as SQLAlchemy names it for a table of the private part
    op.create_index(f"ix_{prefix}notes_customer", "notes", ["customer"], schema=schema)


def _invoices(op: Operations) -> None:
    """Issued documents and their numbers."""
    op.create_table(
        "invoices",
        sa.Column("number", sa.String(40), primary_key=True),
        sa.Column("series", sa.String(12), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("customer", sa.String(40), nullable=False, index=True),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("about", sa.String(40), nullable=False, index=True),
        sa.Column("slot", sa.String(160), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("series", "year", "sequence", name="invoices_no_double"),
        sa.UniqueConstraint("slot", name="invoices_slot"),
    )
    op.create_table(
        "invoice_series",
        sa.Column("series", sa.String(12), primary_key=True),
        sa.Column("year", sa.Integer(), primary_key=True),
        sa.Column("last", sa.Integer(), nullable=False),
    )


def _buyers(op: Operations, schema: str | None) -> None:
    """What invoices say of customers."""
    op.create_table(
        "buyers",
        sa.Column("customer", sa.String(40), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        schema=schema,
    )


def _to_3(op: Operations, _schema: str | None) -> None:
    """An event is found by its id alone; on SQLite the index by customer gives way to one by time."""
    with op.batch_alter_table("events") as batch:  # SQLite: the table is copied, its rows keep their positions
        batch.drop_constraint("events_source_id", type_="unique")
        batch.create_unique_constraint("events_id_source", ["id", "source"])
        if op.get_bind().dialect.name == "sqlite":
            batch.drop_index("events_customer_time")
            batch.create_index("events_time_customer", ["time", "customer"])


def _to_4(op: Operations, _schema: str | None) -> None:
    """What servers counted, for all to see; PostgreSQL samples no names any more."""
    op.create_table(
        "servers",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("decision", sa.BigInteger(), primary_key=True),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger()),
        sa.Column("body", sa.Text(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _unsample(op, "customers.name", "keys.name", "audit.detail")


def _to_4_private(op: Operations, schema: str | None) -> None:
    """PostgreSQL samples nothing that a person wrote any more."""
    if schema is not None:
        names = ("answers.body", "feedback.value", "inputs.payload", "inputs.output", "notes.text", "buyers.body")
        _unsample(op, *(f"{schema}.{name}" for name in names))


def _unsample(op: Operations, *columns: str) -> None:
    """Of what was sampled before, setting the type anew (the same, so nothing is rewritten) removes the sample."""
    for table, _, column in (name.rpartition(".") for name in columns):
        kind = "BYTEA" if column == "body" and table.endswith("answers") else "TEXT"
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}, ALTER COLUMN {column} SET STATISTICS 0")


# from version -> what makes it the next
MIGRATIONS: dict[int, Migration] = {
    1: Migration(_to_2, _to_2_private),
    2: Migration(_to_3),
    3: Migration(_to_4, _to_4_private),
}


def declared() -> None:
    """Imports every module that declares tables, so that the metadata is whole."""
    for name in TABLES:
        importlib.import_module(name)


def operations(connection: Connection) -> Operations:
    """Alembic's operations on a connection whose transaction is the caller's."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    return Operations(MigrationContext.configure(connection))
