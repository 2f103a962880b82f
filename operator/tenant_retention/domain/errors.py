"""The three things that can go wrong, by what the reader must do next. Only the edges map them (to Kopf, to exit codes)."""


class RetentionError(Exception):
    """Base of every error this product raises on purpose; ``reason`` is a CamelCase word of the documented list."""

    def __init__(self, message: str, *, reason: str = "Error", field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field


class Invalid(RetentionError):
    """The user must change something: shown as ``Stalled`` with the field's name, never retried by itself."""


class StoreReleased(Invalid):
    """The store is this claim's, but of an earlier policy, namespace or cluster: an administrator says that it is the same
    customer.

    ``namespace_uid``, ``policy_uid``: the UIDs in the store's marker; the latter is empty where the marker has none.
    """

    def __init__(self, message: str, namespace_uid: str, policy_uid: str) -> None:
        super().__init__(message, reason="StoreReleased", field="spec.claimRef")
        self.namespace_uid = namespace_uid
        self.policy_uid = policy_uid


class NotReady(RetentionError):
    """Something we asked for is still coming up: shown as ``Reconciling``, looked at again soon."""


class Unavailable(RetentionError):
    """Something that was there does not answer: retried with backoff, nothing is deleted meanwhile."""


class Forbidden(Unavailable):
    """Something that answers and does not let us: what is missing are rights."""
