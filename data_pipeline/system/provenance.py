"""Where results come from: digests of files that were read, and of the code of this package."""

import hashlib
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]


def provenance(path: Path) -> dict[str, Any]:
    """File name (no folder), sha256 and size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}


def digest_of_code(room: str = "") -> str:
    """sha256 of every module of the package, or of one of its rooms."""
    modules = sorted((PACKAGE / room).rglob("*.py"))
    if not modules:
        raise ValueError(f"{room!r} is no room of {PACKAGE.name}")
    digest = hashlib.sha256()
    for module in modules:
        digest.update(module.read_bytes())
    return digest.hexdigest()
