"""Reading JSON that others wrote, and writing files that are either whole or absent.

Reading limits size and depth, and refuses what JSON readers disagree about. Writing goes to a temporary name in the
same folder, is flushed to the disk, and only then takes the final name.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fxnas import strict_json
from fxnas.errors import ExportError, FxnasError, shown

MAX_BYTES = 16 * 2**20
MANIFEST = "manifest.json"  # marks a folder that an export wrote, and that another one may replace


def read_json(source: str | Path | bytes, *, error: type[FxnasError], what: str) -> object:
    """Reads a JSON file (a path), or JSON text given as bytes.

    Args:
        source: path of the file, or the content itself as bytes.
        error: class of the error to raise.
        what: what the file is, for messages ("architecture").

    Raises:
        FxnasError: of the class `error`: not readable, larger than 16 MiB, deeper than 64, not UTF-8, not JSON, with
            NaN or infinite numbers, or with a key given twice.
    """
    if isinstance(source, bytes):
        return parse_json(source, error=error, what=what)
    return parse_json(_read(Path(source), error, what), error=error, what=f"{what} {source}")


def parse_json(text: str | bytes, *, error: type[FxnasError], what: str) -> object:
    """Parses JSON text as strictly as `read_json`, with the same errors."""
    if len(text) > MAX_BYTES:
        raise error(f"{what} is larger than {MAX_BYTES // 2**20} MiB")
    if isinstance(text, bytes):
        text = _decoded(text, error, what)
    try:
        return strict_json.parse(text)
    except ValueError as problem:
        raise error(f"{what}: {problem}") from None


def load_json(source: object, *, error: type[FxnasError], what: str) -> tuple[object, str | None]:
    """Finds out what `source` is and reads it.

    A Path, or a string that doesn't start with "{" and names an existing file, is a file; other strings and bytes are
    JSON text; anything else is taken to be parsed already.

    Returns:
        The parsed value, and the name of the file if it came from one.
    """
    if isinstance(source, os.PathLike):
        path = Path(source)
        return read_json(path, error=error, what=what), path.name
    if isinstance(source, str) and not source.lstrip().startswith("{"):
        if os.path.isfile(source):
            return read_json(source, error=error, what=what), os.path.basename(source)
        if source.lstrip()[:1] not in ("[", '"'):
            raise error(f"{what}: {shown(source)} is neither JSON text nor the path of a file")
    if isinstance(source, str | bytes):
        return parse_json(source, error=error, what=what), None
    return source, None


def json_text(value: object) -> str:
    """Readable JSON text, ASCII only where a name has characters that UTF-8 can't hold.

    Raises:
        ValueError: for NaN, infinity or a circular value.
        TypeError: for what JSON can't express.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if text.isascii() or _encodable(text):
        return text
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Writes a file that is either whole or, after any failure, what it was before.

    Args:
        path: where to; an existing file is replaced. Its folder must exist.
        data: content; text is encoded as UTF-8.

    Raises:
        ExportError: if it can't be written.
    """
    content = data.encode() if isinstance(data, str) else data
    with _worded(path), atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to; it takes the final name on success, is removed on failure.

    What the body raises passes through.

    Raises:
        ExportError: if there is a folder at `path`, or the file can't be kept.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise ExportError(f"{path} is a folder, not a file")
    temporary = _temporary(final)
    try:
        yield temporary
        with _worded(path):
            _sync(temporary)
            os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with _worded(path):
        _sync(final.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path` to fill; it takes the final name on success, is removed on failure.

    What the body raises passes through.

    Raises:
        ExportError: if `path` is a file, or a folder that isn't empty and holds no manifest.json of fxnas (a JSON
            object with a member "fxnas"), or the folder can't be written.
    """
    final = Path(os.path.realpath(path))
    _check_replaceable(final)
    temporary = _temporary(final)
    with _worded(path):
        temporary.mkdir()
    try:
        yield temporary
        with _worded(path):
            _sync_all(temporary)
            _check_replaceable(final)
            _swap(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    with _worded(path):
        _sync(final.parent)


@contextmanager
def _worded(path: str | Path) -> Iterator[None]:
    """Names the place that the user gave, where the system's error names a temporary one."""
    try:
        yield
    except OSError as problem:
        raise ExportError(f"{path} can't be written: {problem.strerror or problem}") from problem


def _read(path: Path, error: type[FxnasError], what: str) -> bytes:
    if not os.path.isfile(path):  # also keeps pipes and devices away, which may never end
        kind = "is not a regular file" if os.path.exists(path) else "does not exist"
        raise error(f"{what} {path} {kind}")
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise error(f"{what} {path} can't be read: {problem.strerror}") from problem


def _decoded(data: bytes, error: type[FxnasError], what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{what} is not UTF-8: {problem.reason} at byte {problem.start}") from None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _temporary(final: Path) -> Path:
    return final.with_name(f".{final.name[:100]}.{secrets.token_hex(6)}.tmp")


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows can't open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        for name in names:
            _sync(Path(inner, name))
        _sync(Path(inner))


def _check_replaceable(final: Path) -> None:
    if not final.exists():
        return
    if not final.is_dir():
        raise ExportError(f"{final} is a file, not a folder")
    if any(final.iterdir()) and not _is_ours(final):
        raise ExportError(f"{final} is not empty and not an earlier export; choose another folder")


def _is_ours(folder: Path) -> bool:
    """Whether fxnas wrote the folder. Other tools call files manifest.json too, so that the name alone won't do."""
    try:
        manifest = read_json(folder / MANIFEST, error=FxnasError, what="manifest")
    except FxnasError:
        return False
    return isinstance(manifest, dict) and "fxnas" in manifest


def _swap(temporary: Path, final: Path) -> None:
    if not final.exists():
        os.replace(temporary, final)
        return
    old = _temporary(final)
    os.replace(final, old)
    try:
        os.replace(temporary, final)
    except BaseException:
        os.replace(old, final)
        raise
    shutil.rmtree(old)
