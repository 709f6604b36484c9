"""Gateway: the only way in. Envoy's configuration, and the door where people and programs sign in."""
