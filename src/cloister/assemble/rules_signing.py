"""Signing a trust's rules with the access root from its safe, at the machine's own command line. docs/policies.md."""

from __future__ import annotations

from pathlib import Path

from cloister.access import rules
from cloister.assemble.roots import pinned_roots
from cloister.assemble.sealed_roots import open_root
from cloister.base.errors import Denied
from cloister.base.settings import Settings
from cloister.zones import algorithms, envelope


def sign_rules(settings: Settings, bundle: rules.Bundle, passphrase: str, folder: Path | None) -> bytes:
    roots = pinned_roots(settings)
    seed = open_root(folder or settings.state / "roots", "access", passphrase, trust=roots.trust_id)
    if algorithms.sign_public(seed.reveal()) != roots.access_root_public:
        raise Denied("This root is not the one that this trust has pinned.", hint="Bring the trust's own root.", reason="other-root")
    return rules.signed(bundle, envelope.access_root(seed), roots.trust_id)
