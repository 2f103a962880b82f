"""Files of a backup: zstd inside, AES-256-GCM in chunks around it, so that they stream in bounded memory.

A file begins with a salt, of which and of its context a key of its own is derived; so counters are nonces that never repeat. Each chunk
says its number and whether it is the last: what was cut off, moved, repeated or taken from another file does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from typing import IO, cast

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tenant_retention.domain.backups import KEY_BYTES
from tenant_retention.domain.errors import Invalid

_MAGIC = b"TRB1"
_SALT_BYTES = 32
_CHUNK = 1 << 20
_TAG = 16
_LEVEL = 3


def seal(blocks: Iterable[bytes], key: bytes, context: bytes) -> Iterator[bytes]:
    """The sealed file of these blocks, piece by piece. ``key``: 32 bytes; ``context``: what the file is."""
    salt = os.urandom(_SALT_BYTES)
    cipher = AESGCM(_file_key(key, salt, context))
    yield _MAGIC + salt
    number = 0
    waiting: bytes | None = None
    for chunk in _chunks(_compressed(blocks)):
        if waiting is not None:
            yield _sealed(cipher, number, waiting, last=False)
            number += 1
        waiting = chunk
    yield _sealed(cipher, number, waiting or b"", last=True)


def unseal(blocks: Iterable[bytes], key: bytes, context: bytes) -> Iterator[bytes]:
    """What was sealed. Raises Invalid (BackupBroken) for anything but exactly that file under exactly that key."""
    opened = cast(IO[bytes], _Opened(blocks, key, context))
    try:
        yield from zstandard.ZstdDecompressor().read_to_iter(opened, write_size=_CHUNK)
    except zstandard.ZstdError:
        raise _broken("does not unpack") from None


def signed(text: str, key: bytes) -> bytes:
    """A manifest's file: the text, and below it the HMAC-SHA256 over it by a key that seals no file."""
    return f"{text}\n{_signature(text.encode(), key)}\n".encode()


def verified(content: bytes, key: bytes) -> str:
    """The text of a manifest's file. Raises Invalid (BackupBroken) where it was not signed by this key."""
    text, _, found = content.removesuffix(b"\n").rpartition(b"\n")
    if not hmac.compare_digest(found, _signature(text, key).encode()):
        raise _broken("is its manifest, and was changed or made with another key: is it this tenant's key?")
    return text.decode()


def _signature(text: bytes, key: bytes) -> str:
    return hmac.new(_file_key(key, b"", b"manifest"), text, hashlib.sha256).hexdigest()


class _Opened:
    """The opened chunks as the decompressor reads them."""

    def __init__(self, blocks: Iterable[bytes], key: bytes, context: bytes) -> None:
        self._pieces = _opened(_Reader(blocks), key, context)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


class _Reader:
    """Blocks of any size, read by exact sizes."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end."""
        while len(self._buffer) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._buffer += block
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found


def _opened(reader: _Reader, key: bytes, context: bytes) -> Iterator[bytes]:
    if reader.read(len(_MAGIC)) != _MAGIC:
        raise _broken("is not one of ours")
    cipher = AESGCM(_file_key(key, reader.read(_SALT_BYTES), context))
    number, following = 0, reader.read(4)
    while True:
        size = int.from_bytes(following)
        if len(following) != 4 or not _TAG <= size <= _CHUNK + _TAG:
            raise _broken("was cut off")
        sealed, following = reader.read(size), reader.read(4)
        try:
            yield cipher.decrypt(_nonce(number), sealed, b"last" if not following else b"more")
        except InvalidTag:
            raise _broken("was changed, is another file, or was sealed by another key") from None
        if not following:
            return
        number += 1


def _sealed(cipher: AESGCM, number: int, chunk: bytes, *, last: bool) -> bytes:
    sealed = cipher.encrypt(_nonce(number), chunk, b"last" if last else b"more")
    return len(sealed).to_bytes(4) + sealed


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)


def _file_key(key: bytes, salt: bytes, context: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=b"tenant-retention backup\0" + context).derive(
        key
    )


def _compressed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    for block in blocks:
        yield compressor.compress(block)
    yield compressor.flush()


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) > _CHUNK:
            yield bytes(buffer[:_CHUNK])
            del buffer[:_CHUNK]
    yield bytes(buffer)


def _broken(what: str) -> Invalid:
    return Invalid(f"a file of the backup {what}; nothing was changed: choose another backup", reason="BackupBroken")
