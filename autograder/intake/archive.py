"""Archives that learners hand in: inspected before anything is unpacked, and unpacked within limits.

What an archive says about itself is not believed: a member ends where its announced size ends, a compressed
tar is read through a counter, and nothing is written that was not counted before.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, cast

from ..display import shown
from .folder import Limits, RefusedError, strange

UNPACKED = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz")
ARCHIVES = (*UNPACKED, ".7z", ".rar")
COMPRESSED: dict[bytes, Callable[[io.BufferedReader], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
LONGEST_ENTRY = 1_000  # bytes of a zip's list of contents for one member, its name included
MOST_PACKED = 200_000  # files of a whole class in one download

Opener = Callable[[], IO[bytes]]  # returns a member, to be read


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


@dataclass(frozen=True)
class Member:
    name: str
    size: int
    folder: bool = False


@dataclass(frozen=True)
class Packed:
    """A file of a class's download: nothing of it is read before it is wanted.

    place   where it is, for people
    parts   its path in the download, whose beginning the platform wrote and whose end the learner
    size    the bytes that it says it has; no more are read
    opened  function that returns a file to read it from
    why     why it cannot be taken, or None
    beside  True where it was not in the download, but lies beside it
    """

    place: str
    parts: tuple[str, ...]
    size: int
    opened: Opener
    why: str | None = None
    beside: bool = False

    def read(self, most: int) -> bytes:
        with self.opened() as source:
            return source.read(min(most, self.size))

    def write(self, folder: str, name: str, limits: Limits) -> None:
        """Write it below a folder, or raise `RefusedError` with the reason and leave nothing half written."""
        if self.why:
            raise RefusedError(self.why)
        if self.size > limits.file_bytes:
            raise RefusedError(f"It has {self.size / 1e6:.4g} MB; the limit is {limits.file_bytes / 1e6:g} MB.")
        _examine_name(name, limits)
        target = os.path.join(folder, *name.split("/"))
        if os.path.lexists(target):
            raise RefusedError("It has the same name as another file of the learner's.")
        try:
            _write(folder, Member(name, self.size), self.opened)
        except Exception as error:  # a broken zip raises all kinds, and so does a name that no disk takes
            if os.path.isfile(target):
                os.remove(target)
            raise RefusedError(f"It cannot be read: {shown(str(error) or type(error).__name__)}.") from error


def packed_in(path: str, stack: ExitStack) -> list[Packed]:
    """Return the `Packed` files of a zip that a platform packed; it may be of any size. Raises `RefusedError`.

    stack  an `ExitStack` that keeps the zip open
    What learners may hand in is limited for each of them, and by the caller: the zip is as large as the class.
    """
    with _readable(path):
        if not zipfile.is_zipfile(path):
            raise RefusedError("It is not a zip archive, or its download was cut off; download it again.")
        _examine_list(path, MOST_PACKED, f"It holds more than {MOST_PACKED} files; download fewer learners at once.")
        archive = stack.enter_context(zipfile.ZipFile(path))
        return [_packed(path, archive, info) for info in archive.infolist() if not info.is_dir()]


def _packed(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Packed:
    place = f"{os.path.basename(path)}: {info.filename}"
    try:
        member, why = _zip_member(info), None
    except RefusedError as problem:
        member, why = Member(info.filename, 0), str(problem)
    return Packed(place, tuple(member.name.split("/")), member.size, _lazy(archive, info), why)


def packed_file(path: str, root: str) -> Packed:
    """Return a file that lies unpacked below a folder as the `Packed` that it was."""
    about, parts = os.lstat(path), tuple(os.path.relpath(path, root).split(os.sep))
    why = None if stat.S_ISREG(about.st_mode) else "It is a link or a special file."
    return Packed(os.sep.join(parts), parts, about.st_size, lambda: open(path, "rb"), why, beside=True)


def unpack(path: str, folder: str, limits: Limits | None = None) -> None:
    """Unpack an archive into a new folder, or raise `RefusedError` and leave nothing behind.

    path    a zip file, or a tar file as it is or compressed with gzip, bzip2 or xz
    folder  where to; it must not exist
    """
    limits = limits or Limits()
    examine_archive(path, limits)
    if os.path.lexists(folder):
        raise RefusedError(
            f"{shown(os.path.basename(path))} has the same name as another file or archive, which it would overwrite."
        )
    beside = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=".unpacking-")
    try:
        with _readable(path), _opened(path, limits) as members:
            for member, content in members:
                _write(beside, member, content)
        os.chmod(beside, 0o755)
        os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def examine_archive(path: str, limits: Limits | None = None) -> None:
    """Pass, or raise `RefusedError` with the first thing that no honest archive holds. Nothing is written."""
    limits = limits or Limits()
    count, total = 0, 0
    names: set[str] = set()
    with _readable(path), _opened(path, limits) as members:
        for member, _ in members:
            count, total = count + 1, total + member.size
            if count > limits.files:
                raise RefusedError(f"It holds more than {limits.files} files.")
            if member.size > limits.file_bytes or total > limits.folder_bytes:
                raise _too_much(limits)
            _examine_name(member.name, limits)
            if is_archive(member.name) and not member.folder:
                raise RefusedError(f"{shown(member.name)} in it is an archive, too; pack the notebook itself.")
            key = member.name.rstrip("/").casefold()
            if key in names:
                raise RefusedError(f"It holds {shown(member.name)} more than once.")
            names.add(key)
    if not count:
        raise RefusedError("It holds no file.")


def notebooks_in(path: str, limits: Limits, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of those files in an archive that are wanted; nothing is written.

    path    an archive that `examine_archive` passed
    wanted  function of a name
    A notebook that is larger than a notebook may be is refused, and its archive with it.
    """
    with _readable(path), _opened(path, limits) as members:
        for member, opened in members:
            if member.folder or not wanted(member.name):
                continue
            if member.size > limits.notebook_bytes:
                raise RefusedError(f"{shown(member.name)} in it is larger than {limits.notebook_bytes / 1e6:g} MB.")
            with opened() as source:
                yield member.name, source.read(member.size)


def _too_much(limits: Limits) -> RefusedError:
    return RefusedError(
        f"It unpacks to more than {limits.folder_bytes / 1e6:g} MB, or a file in it to more than "
        f"{limits.file_bytes / 1e6:g} MB."
    )


def _examine_name(name: str, limits: Limits) -> None:
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise RefusedError(f"The path {shown(name)} in it leads outside the archive.")
    if len(parts) > limits.depth or len(name) > 1_000:
        raise RefusedError(f"The path {shown(name)} in it is too long.")
    for part in parts:
        if why := strange(part) or ("" if part else "has an empty part"):
            raise RefusedError(f"The name {shown(name)} in it {why}.")


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn what a broken archive raises into `RefusedError`."""
    about = os.lstat(path)
    if not stat.S_ISREG(about.st_mode):
        raise RefusedError("It is not a file.")
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:  # each of five libraries raises its own, and others besides
        raise RefusedError(f"It cannot be read: {shown(str(error) or type(error).__name__)}.") from error


def _opened(path: str, limits: Limits) -> AbstractContextManager[Iterator[tuple[Member, Opener]]]:
    """Return a context with an iterable of (`Member`, file to read it from or None)."""
    if os.path.getsize(path) > limits.folder_bytes:
        raise _too_much(limits)
    return _zip_members(path, limits) if zipfile.is_zipfile(path) else _tar_members(path, limits)


@contextmanager
def _zip_members(path: str, limits: Limits) -> Iterator[Iterator[tuple[Member, Opener]]]:
    too_long = f"It holds more than {limits.files} files, or is larger than a submission may be."
    _examine_list(path, limits.files, too_long)
    with zipfile.ZipFile(path) as archive:
        yield ((_zip_member(info), _lazy(archive, info)) for info in archive.infolist())


def _examine_list(path: str, most: int, too_long: str) -> None:
    """Refuse a list of contents that is too long to be read into memory: of more than `most` files."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 66_000))
        end = file.read()
    place = end.rfind(b"PK\x05\x06")
    if place < 0 or len(end) < place + 16:
        raise RefusedError("It cannot be read: its list of contents is missing.")
    size = struct.unpack("<L", end[place + 12 : place + 16])[0]
    large = end.rfind(b"PK\x06\x06", 0, place)  # where an archive of more than 4 GB says it
    if size == 0xFFFFFFFF and 0 <= large <= place - 48:
        size = struct.unpack("<Q", end[large + 40 : large + 48])[0]
    if size > most * LONGEST_ENTRY:
        raise RefusedError(too_long)


def _zip_member(info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RefusedError(f"{shown(info.filename)} in it is a link or a special file.")
    if info.flag_bits & 1:
        raise RefusedError("It is protected by a password.")
    if "\0" in info.orig_filename:
        raise RefusedError(f"The name {shown(info.orig_filename)} in it has control characters.")
    return Member(info.filename, info.file_size, info.is_dir())


def _lazy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Opener:
    return lambda: archive.open(info)


class _Counted:
    """A file that can only be read, up to a number of bytes."""

    def __init__(self, file: io.BufferedIOBase, limits: Limits) -> None:
        self.file, self.left, self.limits = file, 2 * limits.folder_bytes, limits

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(content)
        if self.left < 0:
            raise _too_much(self.limits)
        return content


@contextmanager
def _tar_members(path: str, limits: Limits) -> Iterator[Iterator[tuple[Member, Opener]]]:
    with open(path, "rb") as file:
        compressed = COMPRESSED.get(file.read(2))
        file.seek(0)
        content = _Counted(compressed(file) if compressed else file, limits)
        try:
            # Of a stream it only reads, which its types do not know.
            archive = tarfile.open(fileobj=content, mode="r|")  # type: ignore[call-overload]
        except tarfile.ReadError as error:
            raise RefusedError("It is neither a zip nor a tar archive.") from error
        with archive:
            yield ((_tar_member(info), _extractor(archive, info)) for info in archive)


def _tar_member(info: tarfile.TarInfo) -> Member:
    if not (info.isreg() or info.isdir()) or info.issparse():
        raise RefusedError(f"{shown(info.name)} in it is a link or a special file.")
    name = info.name.removeprefix("./") or "."
    return Member(name, info.size if info.isreg() else 0, info.isdir())


def _extractor(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Opener:
    return lambda: cast(IO[bytes], archive.extractfile(info))  # None only for a folder, which nobody opens


def _write(folder: str, member: Member, opened: Opener) -> None:
    target = os.path.join(folder, *member.name.rstrip("/").split("/"))
    if member.folder:
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    left = member.size
    with opened() as source, open(target, "xb") as copy:
        while left and (part := source.read(min(left, 1 << 20))):
            left -= len(part)
            copy.write(part)
