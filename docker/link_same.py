"""Makes files of equal content and mode below the named folders hard links of one another; prints what that saves."""

import hashlib
import os
import sys
from collections import defaultdict
from pathlib import Path

LEAST_BYTES = 4096  # below that a file takes no more room than its own block


def same(folders: list[str]) -> list[list[Path]]:
    """Groups of files with the same size, mode, owner and content, not yet links of one another."""
    by_size = defaultdict(list)
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size >= LEAST_BYTES:
                status = path.stat()
                by_size[status.st_size, status.st_mode, status.st_uid].append(path)
    by_content = defaultdict(list)
    for key, paths in by_size.items():
        if len(paths) > 1:
            for path in paths:
                with path.open("rb") as stream:
                    by_content[key, hashlib.file_digest(stream, "sha256").digest()].append(path)
    return [paths for paths in by_content.values() if len(paths) > 1]


if __name__ == "__main__":
    saved = 0
    for first, *others in same(sys.argv[1:]):
        for other in others:
            if not other.samefile(first):
                saved += other.stat().st_size
                temporary = other.with_name(f".{other.name}.link")
                os.link(first, temporary)
                temporary.replace(other)
    print(f"{saved / 1e6:.0f} MB are on disk once instead of again")
