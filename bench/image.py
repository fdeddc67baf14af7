"""The container image this program runs in: what was written into it when it was built, and the places it fixes."""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.errors import UsageError

RESULTS = Path("/results")
DATA = (Path("/data"), Path("/opt/bench/data"))
"""Where real data is looked for: mounted, before the cache; then baked in, after it."""
CACHES = (Path("/results/.cache"), Path("/tmp/bench"))  # noqa: S108 (in a container, /tmp is nobody else's)
SBOM = Path("/opt/bench/sbom")
"""CycloneDX files `*.cdx.json`: one per Python environment, and the Debian packages."""


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an image says of itself: the JSON file that `BENCH_IMAGE` names."""

    device: Literal["cpu", "gpu"]
    """Default of `--device` in it."""
    version: str
    """Of bench."""
    commit: str | None
    """Source commit; None: the build context had no repository."""
    dirty: bool | None
    """Whether what went into the image differs from the commit."""
    locks: dict[str, str]
    """Requirement file to its sha256, hex."""
    base: str
    """Name of the base image."""


def here() -> Image | None:
    """The image this program runs in; None outside of one. A UsageError where `BENCH_IMAGE` cannot be read."""
    named = os.environ.get("BENCH_IMAGE")
    return _read(Path(named)) if named else None


def source(here: Image) -> dict[str, Any] | None:
    """Commit and whether the source differed from it, as `environment.git_state` tells of a checkout; None: unknown."""
    return None if here.commit is None else {"commit": here.commit, "dirty": here.dirty}


def identity() -> dict[str, Any]:
    """Id and digests of the image as the engine knows them; None where whoever started the container did not tell."""
    digests = os.environ.get("BENCH_IMAGE_DIGESTS", "").split()
    return {"id": os.environ.get("BENCH_IMAGE_ID") or None, "digests": digests or None}


@functools.cache
def contents(bills: Path = SBOM) -> str | None:
    """SHA-256, hex, of the names and versions in the bills of materials; None where there are none.

    It tells images apart whose ids nobody told: two builds of one commit may have other packages.
    """
    whole = hashlib.sha256()
    files = sorted(bills.glob("*.cdx.json"))
    for file in files:
        content = file.read_bytes()
        try:
            listed = {(str(each["name"]), str(each.get("version"))) for each in json.loads(content)["components"]}
            whole.update(repr((file.name, sorted(listed))).encode())
        except (ValueError, LookupError, TypeError, AttributeError):  # no CycloneDX: `bench doctor` says so
            whole.update(content)
    return whole.hexdigest() if files else None


@functools.cache
def _read(path: Path) -> Image:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Image)
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise UsageError(f"BENCH_IMAGE={path}: {found}; unset it, or name the image.json of an image") from error
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"BENCH_IMAGE={path}: not an image.json ({error}); unset it, or build the image again"
        ) from error
