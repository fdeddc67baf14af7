"""Puts the hashes of the package index into every lock: edit versions in requirements/*.txt, then run `tox -e lock`.

The versions stay as they are written; a package that is missing is added by hand, as `pip check` asks for it.
"""

import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
UNHASHED = {"torch-cpu.txt", "torch-cpu-image.txt"}
"""From another index than the others, with a build for every Python."""
PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?P<equal>={2,3})(?P<version>[^\s;\\]+)(?P<marker>\s*;[^\\]*)?", re.MULTILINE
)


def lock(path: Path) -> None:
    """Rewrites one lock: its comment lines as they are, then every pin with its hashes."""
    text = path.read_text()
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    pins = "".join(f"{pin['name']}=={pin['version']}{pin['marker'] or ''}\n" for pin in PIN.finditer(text))
    command = [
        "uv", "pip", "compile", "--quiet", "--no-deps", "--universal", "--generate-hashes", "--no-annotate",
        "--no-header", "--python-version", "3.11", "-",
    ]  # fmt: skip
    done = subprocess.run(command, input=pins, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr.strip()}")
    hashed = done.stdout
    # `===` is that release and not a local build of it (2.13.0+cpu), which pip would prefer; uv writes it as `==`.
    for pin in PIN.finditer(text):
        if pin["equal"] == "===":
            hashed = hashed.replace(f"{pin['name']}=={pin['version']}", f"{pin['name']}==={pin['version']}")
    path.write_text(comments + hashed)


if __name__ == "__main__":
    for lock_file in sorted(FOLDER.glob("*.txt")):
        if lock_file.name not in UNHASHED:
            lock(lock_file)
            print(lock_file)
