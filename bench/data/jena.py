"""The Jena weather series from its CSV: found in a folder, read by column name, checked reading by reading."""

import bz2
import contextlib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.data import series
from bench.data.files import fingerprint, unreadable, wrong
from bench.data.windows import Dataset, Identity, Source
from bench.errors import UsageError
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

NAME = "jena_climate_2009_2016.csv"
DOWNLOAD = f"{NAME}.zip"
ROWS = 420_551
EXPECTED = "the Jena weather CSV, a date column and 14 features"
CURE = "replace it by a good copy"
DATE = "Date Time"
FEATURES = (
    "p (mbar)",
    "T (degC)",
    "Tpot (K)",
    "Tdew (degC)",
    "rh (%)",
    "VPmax (mbar)",
    "VPact (mbar)",
    "VPdef (mbar)",
    "sh (g/kg)",
    "H2OC (mmol/mol)",
    "rho (g/m**3)",
    "wv (m/s)",
    "max. wv (m/s)",
    "wd (deg)",
)
"""The columns of the genuine file, in its order; feature 1 is the temperature."""

_SUFFIXES = (".csv", ".csv.xz", ".csv.zip", ".csv.gz", ".csv.bz2")
_MISSING = -9999.0  # how the station writes a reading it does not have; the book leaves them in
_MOST_BYTES = 1 << 30  # of an unpacked CSV; the genuine one has 43 MB
_FIRST_DATE = "01.01.2009 00:10:00"
_FIRST_ROW = (996.52, -8.02, 265.4, -8.9, 93.3, 3.33, 3.11, 0.22, 1.94, 3.12, 1307.75, 1.03, 1.75, 152.3)
_FIRST_TEMPERATURES = (-8.02, -8.41, -8.51, -8.31, -8.27, -8.05, -7.62, -7.62, -7.91, -8.43, -8.76, -8.88, -8.85)


def find(folder: Path, workload: Workload) -> Path | None:
    """The series in `folder`: the genuine name, plain or compressed, else the one `jena_climate_*.csv*` long enough.

    A single other file is returned whatever its length (reading it tells what it lacks); None where there is no file.
    Several that would do are a UsageError that names them.
    """
    for suffix in ("", ".xz", ".zip"):
        path = folder / f"{NAME}{suffix}"
        if path.exists():
            return path
    others = sorted(path for path in folder.glob("jena_climate_*.csv*") if path.name.endswith(_SUFFIXES))
    if len(others) < 2:
        return others[0] if others else None
    fewest = series.fewest_rows(workload)
    counted = {path: len(_frame(path, ["T (degC)"])) for path in others}
    enough = [path for path, rows in counted.items() if rows >= fewest]
    if len(enough) == 1:
        return enough[0]
    found = ", ".join(f"{path.name} ({rows:,} rows)" for path, rows in counted.items())
    raise wrong(
        folder,
        f"several weather series: {found}",
        f"{NAME}, or one jena_climate_*.csv of at least {fewest:,} rows",
        "leave one there",
    )


def load(path: Path, workload: Workload) -> Dataset:
    """The workload's Dataset from a CSV of Jena: inputs (rows, 14) float32, standardised.

    Readings of -9999 (a sensor that was away) stay in, as in the book, and are counted in the description. A
    UsageError says what is wrong with a file that does not hold what it should.
    """
    file = fingerprint(path, EXPECTED)
    frame = _frame(path, [DATE, *FEATURES])
    fewest = series.fewest_rows(workload)
    if len(frame) < fewest:
        raise wrong(path, f"{len(frame):,} rows", f"at least {fewest:,} for workload '{workload.name}'", CURE)
    rows = np.array(frame[list(FEATURES)], dtype=np.float64, order="C")
    _require_finite(path, rows)
    genuine = len(rows) == ROWS and frame[DATE].iloc[0] == _FIRST_DATE and _begins_as_genuine(rows)
    identity: Identity = "genuine" if genuine else "other"
    missing = int((rows == _MISSING).sum())
    text = f"Jena weather from {path.name}: {len(rows):,} rows, "
    text += f"{missing} {'reading' if missing == 1 else 'readings'} of -9999 left in as in the book"
    if not genuine:
        train, validation = series.boundaries(series.spec_of(workload), len(rows))
        text += f"; NOT the 2009-2016 file: it trains on rows up to {train:,} and validates up to {validation:,}"
    try:
        return series.dataset(workload, rows, Source(identity=identity, description=text, files=(file,)))
    except ValueError as error:
        raise wrong(path, str(error), "readings that change", CURE) from error


def _begins_as_genuine(rows: NDArray[np.float64]) -> bool:
    temperatures = rows[: len(_FIRST_TEMPERATURES), 1]
    return tuple(rows[0]) == _FIRST_ROW and tuple(temperatures) == _FIRST_TEMPERATURES


def _require_finite(path: Path, rows: NDArray[np.float64]) -> None:
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0]
        raise wrong(
            path,
            f"line {row + 2:,} has no number in column '{FEATURES[column]}' ({len(bad):,} such cells in all)",
            "a number in every cell",
            CURE,
        )


def _frame(path: Path, columns: list[str]) -> "pd.DataFrame":
    """These columns of the CSV, dates as text, the others as float64; blank cells are NaN."""
    import pandas as pd  # a quarter of a second, for the one who reads a CSV: most runs find it prepared

    try:
        with _opened(path) as stream:
            header = [str(name) for name in pd.read_csv(stream, nrows=0).columns]
        lacking = [name for name in columns if name not in header]
        if lacking:
            raise wrong(path, f"no column '{lacking[0]}' among {', '.join(header)[:200]}", EXPECTED, CURE)
        kinds = {name: "str" if name == DATE else "float64" for name in columns}
        with _opened(path) as stream:
            try:
                # All columns: told to use some, pandas would let a row with too many cells pass.
                frame = pd.read_csv(stream, dtype=kinds, engine="c", low_memory=False)
            except ValueError as error:
                raise _not_a_number(path, columns, error) from error
    except pd.errors.EmptyDataError as error:
        raise wrong(path, "is empty", EXPECTED, CURE) from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise wrong(path, f"is no CSV ({error})", EXPECTED, CURE) from error
    except (lzma.LZMAError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, EOFError) as error:
        raise wrong(path, f"is cut short or damaged ({error})", EXPECTED, CURE) from error
    except OSError as error:
        raise unreadable(path, error, EXPECTED) from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes a surplus first cell for a row's name, in silence
        raise wrong(path, "rows have more cells than the header has names", EXPECTED, CURE)
    return frame[columns]


def _not_a_number(path: Path, columns: list[str], error: ValueError) -> Exception:
    """The error that names the first cell with text in it; the reader's own where no cell has any."""
    import pandas as pd

    if isinstance(error, (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError)):
        return error
    with _opened(path) as stream:
        texts = pd.read_csv(stream, usecols=columns, dtype="str")
    for name in columns:
        bad = np.flatnonzero(texts[name].notna() & pd.to_numeric(texts[name], errors="coerce").isna())
        if name != DATE and len(bad):
            found = f"line {bad[0] + 2:,} has {texts[name].iloc[bad[0]]!r} in column '{name}'"
            return wrong(path, found, "a number", CURE)
    return wrong(path, f"cannot be read as numbers ({error})", EXPECTED, CURE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The CSV's bytes, unpacked while they are read. Of a zip, its only CSV; nothing is unpacked to disk."""
    if path.suffix != ".zip":
        openers: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
        with openers.get(path.suffix, open)(path, "rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        members = [item for item in archive.infolist() if _is_csv(item.filename)]
        if len(members) != 1:
            names = ", ".join(archive.namelist()[:5]) or "nothing"
            raise wrong(path, f"a zip that holds {names}", "one CSV in it", CURE)
        if members[0].file_size > _MOST_BYTES:
            raise wrong(path, f"unpacks to {members[0].file_size:,} bytes", f"at most {_MOST_BYTES:,}", CURE)
        try:
            with archive.open(members[0]) as stream:
                yield stream
        except (RuntimeError, NotImplementedError) as error:  # a password, or a compression Python does not have
            raise UsageError(f"{path}: cannot be unpacked ({error}); expected {EXPECTED}; {CURE}") from error


def _is_csv(member: str) -> bool:
    name = member.rsplit("/", 1)[-1]
    return name.endswith(".csv") and not name.startswith(".")  # a Mac adds hidden copies, `._name.csv`
