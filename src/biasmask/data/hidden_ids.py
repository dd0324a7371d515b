"""Ids that mean nothing to who lacks the key: for predictions that are handed on."""

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path

from biasmask.data.large_table import texts_of
from biasmask.data.table import Exclusion, Table
from biasmask.errors import DataError

FEWEST_BYTES = 16


def hide_ids(table: Table, key_file: Path) -> Table:
    """The table with keyed hashes (HMAC-SHA-256, 20 hex digits) in place of its ids and subjects; paths and all else stay.

    The same key gives the same hashes, so that runs can be paired. A hash without a key would be undone by trying all ids.

    Args:
        table: N rows.
        key_file: file whose bytes are the key, 16 or more; it must not be handed on.

    Raises:
        DataError: no such file, or too short a key.
    """
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        raise DataError(f"data.id_key={key_file} can't be read: {error.strerror}") from error
    if len(key) < FEWEST_BYTES:
        raise DataError(
            f"data.id_key={key_file} holds {len(key)} bytes, and a key needs {FEWEST_BYTES}: "
            f"python -c 'import secrets; print(secrets.token_hex())' > {key_file}"
        )
    hashed = {name: [keyed_hash(given, key) for given in texts_of(table.frame[name])] for name in ("id", "subject")}
    hidden = [_hidden(exclusion, key) for exclusion in table.exclusions]
    return replace(table, frame=table.frame.assign(**hashed), exclusions=hidden)


def keyed_hash(text: str, key: bytes) -> str:
    """20 hex digits; two of a million ids collide with a chance of 4e-13.

    >>> keyed_hash("p1", b"k" * 16) == keyed_hash("p1", b"k" * 16) != keyed_hash("p2", b"k" * 16)
    True
    """
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:20]


def _hidden(exclusion: Exclusion, key: bytes) -> Exclusion:
    return replace(exclusion, examples=[keyed_hash(str(given), key) for given in exclusion.examples])
