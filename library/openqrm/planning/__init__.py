"""Plans: what a change needs, as ordered operations that are grouped by the host that carries them out."""
