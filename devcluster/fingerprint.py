"""One short key for a set of inputs: the same inputs are never built twice."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_KEY_LENGTH = 16


def of_texts(texts: Iterable[str]) -> str:
    """A key for a sequence of texts; each is framed by its length, so that no two sequences look alike."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:_KEY_LENGTH]


def of_files(paths: Iterable[Path], root: Path) -> str:
    """A key for files: their names below `root` and their contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()[:_KEY_LENGTH]
