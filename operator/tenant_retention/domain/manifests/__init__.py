"""Pure builders of every object the operator puts into a namespace, as plain dicts: one module per concern.

Rules that hold for all: labels and names come from ``metadata``; nothing that holds data or its credentials gets an
ownerReference to the policy (X5); every pod passes restricted Pod Security with a read-only root and no token.
"""
