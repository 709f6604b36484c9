"""The way to the store for an app of a person: the same way, and every audit note says which app it was."""

from __future__ import annotations

from typing import Any, Final

from cloister.base.wire import Caller

REASON_MAX: Final = 200
NOTES: Final = ("audit", "entries")


class OnBehalf(Caller):
    """Calls through another caller. The person and the session are the gate's own finding; the app is said here."""

    def __init__(self, gate: Caller, client: str) -> None:
        self._gate = gate
        self._said = f"app {client}"

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        for name in NOTES:
            if arguments.get(name):
                arguments[name] = [
                    note | {"reason": f"{note.get('reason', '')} {self._said}".strip()[:REASON_MAX]} for note in arguments[name]
                ]
        return await self._gate.call(method, timeout_seconds=timeout_seconds, **arguments)

    def close(self) -> None:
        """The way stays open: it is the session's."""
