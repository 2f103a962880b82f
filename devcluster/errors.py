"""What can go wrong, as the person at the terminal needs to hear it."""


class DevclusterError(Exception):
    """Something failed; the message says what, and what to do next."""

    exit_code = 1


class Unsupported(DevclusterError):
    """This machine cannot run the node; the message says in one sentence what is missing."""

    exit_code = 2
