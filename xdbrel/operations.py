"""Migration operations: what a project writes into its own migrations."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation, OperationCategory

from xdbrel.relations import Relation


class InstallTriggers(Operation):
    """Install the triggers that ``XDBREL["CAPTURE"]`` asks for, as of this migration.

    Triggers are made for the relations, tables and columns that there are at this point,
    in the database that is migrated. The migration has to depend on ``("xdbrel",
    "0001_initial")`` and on those that make the targets' tables. Backwards it removes every
    trigger of xdbrel's from the database.
    """

    reversible = True
    category = OperationCategory.SQL

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: triggers are no part of any model."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        from xdbrel.cascade.triggers.install import install

        relations = [
            Relation(field)
            for model in to_state.apps.get_models(include_auto_created=True)
            for field in model._meta.local_fields
            if getattr(field, "crosses_databases", False)
        ]
        alias = schema_editor.connection.alias
        _require_fine(
            install(
                alias,
                relations=relations,
                execute=lambda statement: schema_editor.execute(statement, params=None),
            )
        )

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        from xdbrel.cascade.triggers.install import remove

        _require_fine(
            remove(
                schema_editor.connection.alias,
                execute=lambda statement: schema_editor.execute(statement, params=None),
            )
        )

    def describe(self) -> str:
        return "Install the triggers that XDBREL['CAPTURE'] asks for"

    @property
    def migration_name_fragment(self) -> str:
        return "install_xdbrel_triggers"


def _require_fine(states: Any) -> None:
    from xdbrel.cascade.triggers.exceptions import TriggersNotInstalled

    amiss = [state for state in states if state.is_finding]
    if amiss:
        raise TriggersNotInstalled(amiss)
