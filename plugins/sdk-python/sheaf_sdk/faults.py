"""What can go wrong, and what the host shall do about it."""

from __future__ import annotations

from enum import Enum


class Remedy(Enum):
    """What the host shall do about a fault."""

    # The operator must change the settings or the grants. Not retried.
    FIX_SETTINGS = "fix-settings"
    # The operator must renew a credential. Not retried.
    REAUTHENTICATE = "reauthenticate"
    # Try again from the last checkpoint.
    RETRY = "retry"
    # The checkpoint or bookmark is no longer valid: start this scope again.
    START_OVER = "start-over"
    # Nothing will help. Not retried.
    GIVE_UP = "give-up"


class Fault(Exception):
    """What went wrong, in one sentence for the operator, who reads it as it is: it must hold no secrets.

    Any other exception becomes one to retry, and its traceback goes to the worker's log.
    """

    def __init__(self, remedy: Remedy, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.remedy = remedy
        self.message = message
        # How many seconds the source asked to be left alone.
        self.retry_after = retry_after

    @classmethod
    def fix_settings(cls, message: str) -> Fault:
        return cls(Remedy.FIX_SETTINGS, message)

    @classmethod
    def reauthenticate(cls, message: str) -> Fault:
        return cls(Remedy.REAUTHENTICATE, message)

    @classmethod
    def retry(cls, message: str, retry_after: int | None = None) -> Fault:
        return cls(Remedy.RETRY, message, retry_after)

    @classmethod
    def start_over(cls, message: str) -> Fault:
        return cls(Remedy.START_OVER, message)

    @classmethod
    def give_up(cls, message: str) -> Fault:
        return cls(Remedy.GIVE_UP, message)
