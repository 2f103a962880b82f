"""``kubectl retention``: policies, runs, approvals and holds from a shell, with the user's own rights on the cluster."""
