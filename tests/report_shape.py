"""The form of a report, without what was measured: two runs of the same plan have the same."""

import re

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")  # whose last four may hold no digit at all
CLUSTER = re.compile(r"--cluster \S+")
MEASURED = (
    "Verdict", "In words", "Step time", "Epoch", "Where the time goes", "Resources", "Disturbances", "Learning",
    "Read this first",
)  # fmt: skip
"""Sections of which only the form is compared: headings, what notices are about, the rows' first cells."""
OF_THE_MACHINE = ("Disturb", "Before or after", "Tried again", "Not settled", "warm_up", "frequency")
"""Notices, sections and rows that say how the machine was, or that a cell needed a second try."""
OF_THE_PROCESS = ("# Run", "| ran with pid", "| ran with folder", "| ran with spun_ns")


def shape_of(report: str) -> list[str]:
    """A report without what was measured: its sections on models, settings, data and machine whole but for numbers."""
    found, section = [], ""
    for line in report.splitlines():
        if line.startswith("#"):
            section = line.strip("# ")
        if line.startswith(OF_THE_PROCESS) or section.startswith("Disturbances"):
            continue
        said = line
        if line.startswith("How far to trust it"):
            said = "; ".join(part for part in line.split("; ") if "disturbed" not in part and "noise" not in part)
        if section.startswith(MEASURED):
            notice = re.match(r"- \*\*(.+?)\*\*", line)
            first = line.split("|")[1].strip() if line.startswith("| ") else ""
            said = notice[1] if notice else line if line.startswith(("#", "!")) else first
            if not said or said.startswith(OF_THE_MACHINE):
                continue
        said = CLUSTER.sub("--cluster #", RUN_ID.sub("#", said))
        found.append(re.sub(r"[ :-]{2,}", " ", re.sub(r"[0-9a-f]*\d[\w.,:]*", "#", said)).strip())
    return list(dict.fromkeys(found))  # a setting with several values takes several rows
