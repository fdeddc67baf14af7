"""What `bench doctor` tells of the image it runs in: who it is, and its bill of materials."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bench import image


def show(console: Console, folder: Path = image.SBOM) -> None:
    """Prints who the image is and every component of it, one paragraph a file; one line outside of an image."""
    here = image.here()
    if here is None:
        console.print("no image, no SBOM", highlight=False)
        return
    known = image.identity()
    named = f"image {known['id'] or 'of unknown id'}: bench {here.version}, commit {here.commit or 'unknown'}"
    changed = ", with uncommitted changes" if here.dirty else ""
    _say(console, f"{named}{changed}, on {here.base}, for the {here.device}")
    files = sorted(folder.glob("*.cdx.json"))
    if not files:
        _say(console, f"no SBOM in {folder}")
    for path in files:
        try:
            found = components(path)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _say(console, f"{path}: not a CycloneDX file ({type(error).__name__}: {error}); build the image again")
            continue
        console.print(f"[bold]{escape(str(path))}[/]: {len(found)} components", highlight=False)
        _say(console, ", ".join(found))


def components(path: Path) -> list[str]:
    """Every component of a CycloneDX file as name, version and licence, by name."""
    licences: dict[tuple[str, str], str] = {}
    for component in json.loads(path.read_bytes())["components"]:
        named = str(component["name"]), str(component.get("version", ""))  # a package may be listed with its source too
        licences[named] = licences.get(named) or _licence(component)
    return [
        " ".join(filter(None, (*named, f"({licence})" if licence else "")))
        for named, licence in sorted(licences.items(), key=lambda entry: (entry[0][0].casefold(), entry[0][1]))
    ]


def _licence(component: dict[str, Any]) -> str:
    """As SPDX has it where it is stated so, else in the words of its author."""
    stated = []
    for entry in component.get("licenses", ()):
        named = entry.get("license", {})
        words = str(entry.get("expression") or named.get("id") or named.get("name") or "")
        stated.append(" ".join(words.removeprefix("License :: ").removeprefix("OSI Approved :: ").split()))
    return " AND ".join(dict.fromkeys(filter(None, stated)))


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, emoji=False)
