"""Refuses requests whose framing another server may read differently. Pure."""

from collections.abc import Sequence


def is_unambiguous(version: str, headers: Sequence[tuple[bytes, bytes]], *, may_upgrade: bool) -> bool:
    """Return whether any proxy in front of us would read these headers as we do; names are in lower case.

    The parser itself refuses a length beside chunks, two lengths, folded lines, and lines that do not
    end in CR LF.
    """
    names = [name for name, _ in headers]
    encodings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if version == "1.1":
        is_chunked = [value.rstrip(b" \t") for value in encodings] == [b"chunked"]
        is_known = names.count(b"host") == 1 and (is_chunked or not encodings)
    else:
        is_known = version == "1.0" and not encodings
    # The parser would take the body of an upgrade request for another protocol.
    has_upgrade_body = may_upgrade and (encodings or b"content-length" in names)
    return is_known and not has_upgrade_body
