"""The HTTPS interface for nodes: registration, orders, events, heartbeats (docs/node-api.md)."""
