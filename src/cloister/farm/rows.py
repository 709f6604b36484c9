"""Rows of schema `estate` as the types of this room."""

from __future__ import annotations

import json
from typing import Any, Final

from cloister.farm.groups import Application, ApplicationKind, Group
from cloister.farm.placement import Server, ServerState, Session, SessionKind
from cloister.farm.states import SessionState

SESSION_COLUMNS: Final = "id, person, role, kind, label, server, slot, epoch, state, why, started, changed, application"


def session_of(row: Any) -> Session:
    fields = dict(row)
    return Session(**{**fields, "kind": SessionKind(fields["kind"]), "state": SessionState(fields["state"])})


def server_of(row: Any) -> Server:
    fields = dict(row)
    missing, groups = tuple(json.loads(fields["missing"])), tuple(fields["groups"])
    return Server(**{**fields, "state": ServerState(fields["state"]), "missing": missing, "groups": groups})


def application_of(row: Any) -> Application:
    fields = dict(row)
    return Application(**{**fields, "kind": ApplicationKind(fields["kind"]), "settings": json.loads(fields["settings"])})


def group_of(row: Any) -> Group:
    lists = ("applications", "servers", "labels", "roles")
    return Group(**{**dict(row), **{name: tuple(row[name]) for name in lists}})
