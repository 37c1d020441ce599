"""The HTTPS interface for operators and their programs: objects, plans, jobs, tokens (docs/operator-api.md)."""
