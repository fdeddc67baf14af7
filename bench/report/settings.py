"""What each arm was run with: the settings that all arms share, and, side by side, those in which they differ."""

from collections.abc import Mapping

from bench.report.folder import Folder
from bench.report.markdown import short, table, text


def settings(folder: Folder) -> list[str]:
    """Markdown blocks; none for a run without arms. An arm to which a setting does not apply has a dash."""
    by_arm = {name: _of(folder, name) for name in folder.run.arms}
    names = dict.fromkeys(name for found in by_arm.values() for name in found)
    values = {name: [found.get(name) for found in by_arm.values()] for name in names}
    shared = {name: found[0] for name, found in values.items() if len(set(found)) == 1}
    differing = {name: found for name, found in values.items() if name not in shared}
    blocks = ["## Settings"] if names else []
    if shared:
        rows = [[short(name), text(value)] for name, value in shared.items()]
        blocks += ["### The same in all arms", table(["setting", "value"], rows, left=2)]
    if differing:
        rows = [[short(name), *("-" if value is None else text(value) for value in found)]
                for name, found in differing.items()]  # fmt: skip
        header = ["setting", *map(short, by_arm)]
        blocks += ["### Differences between arms", table(header, rows, left=len(header))]
    return blocks


def _of(folder: Folder, name: str) -> dict[str, str]:
    """Setting → value of one arm; where its cells differ, every value that occurs."""
    arm = folder.run.arms[name]
    cells = [cell for cell in folder.cells if cell.arm == name and cell.status == "ok"]
    stated: list[tuple[str, Mapping[str, object]]] = [("", {"framework": arm.framework, "tier": arm.tier})]
    stated.append(("", arm.settings))
    stated += [("ran with ", cell.versions) for cell in cells]
    stated += [("environment ", cell.environment) for cell in cells]
    stated += [("", {"threads": cell.threads}) for cell in cells]
    found: dict[str, list[str]] = {}
    for prefix, given in stated:
        for key, value in given.items():
            values = found.setdefault(prefix + key, [])
            if str(value) not in values:
                values.append(str(value))
    return {key: "; in other cells: ".join(values) for key, values in found.items()}
