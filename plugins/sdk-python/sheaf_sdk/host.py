"""What the host gives every connector. Without a host, in tests, there is none of it."""

from __future__ import annotations

from .faults import Fault

try:
    from componentize_py_types import Err
    from wit_world.imports import host

    is_there = True
except ModuleNotFoundError:
    is_there = False


def credential(name: str) -> str:
    """A stand-in for a granted credential: it goes where the header's value goes. The connector never holds the
    real one, which the host puts there on the way out, for granted hosts only."""
    if not is_there:
        raise Fault.fix_settings(f"the credential `{name}` is not granted: there is no host here")
    try:
        return host.credential(name)
    except Err as error:
        raise Fault.fix_settings(f"the credential cannot be used: {error.value}") from error
