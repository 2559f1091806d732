"""Fetching files over HTTP: resumed where a former try broke off, checked before they are used."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from urllib3.exceptions import HTTPError

from dp_assets.config.errors import ProjectError
from dp_assets.storage.atomic import write_bytes

CHECKSUMS_FILE = "checksums.json"
CHUNK = 2**20
TIMEOUT_S = 60

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there, and all of them (0 when not known)."""


@dataclass(frozen=True)
class PublicFile:
    """A file of a public image set.

    Attributes
    ----------
    name : of the file in the folder of downloads.
    url : its address.
    sha256 : its published checksum; None where none is published. Then that of the first download is kept,
        and later copies must have it.
    """

    name: str
    url: str
    sha256: str | None = None


def fetch(files: Sequence[PublicFile], folder: Path, *, progress: Progress = lambda *_: None) -> list[Path]:
    """Bring files into a folder; what is there already, whole and unchanged, is not fetched again.

    A transfer that broke off goes on where it was, if the server can do that and its file is still the same.

    Parameters
    ----------
    folder : of downloads; keeps `checksums.json` with the checksums of what was fetched.

    Returns
    -------
    Where the files lie, in order.

    Raises
    ------
    ProjectError : the server cannot be reached or does not have the file, the transfer broke off, or the file
        has another checksum. What came so far is kept for the next try. Or a name is no plain file name.
    """
    for file in files:
        # Names of archives come out of tables that were downloaded.
        if file.name != Path(file.name).name:
            raise ProjectError(
                f"{file.name!r} is no name of a file",
                where=file.url,
                remedy="delete the tables and run again",
            )
    folder.mkdir(parents=True, exist_ok=True)
    known = _read_checksums(folder)
    paths = []
    for file in files:
        expected = file.sha256 or known.get(file.name)
        path = folder / file.name
        if not _is_whole(path, expected):
            _fetch_one(file, path, expected, progress)
        if file.name not in known or known[file.name] != expected:
            known[file.name] = pooch.file_hash(str(path))
            text = json.dumps(dict(sorted(known.items())), indent=1)
            write_bytes(folder / CHECKSUMS_FILE, text.encode())
        paths.append(path)
    return paths


def _is_whole(path: Path, expected: str | None) -> bool:
    # Without any checksum a file that somebody put there is taken; whatever unpacks it checks it again.
    return path.is_file() and (expected is None or pooch.file_hash(str(path)) == expected)


def _read_checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    if not path.exists():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError) as error:
        raise ProjectError(
            f"the checksums of earlier downloads cannot be read: {error}",
            where=str(path),
            remedy="delete this file; the downloads are then fetched again",
        ) from error


def _fetch_one(file: PublicFile, path: Path, expected: str | None, progress: Progress) -> None:
    pooch.get_logger().setLevel("WARNING")
    transfer = ResumingTransfer(file.name, path.with_name(path.name + ".part"), progress)
    try:
        pooch.retrieve(
            file.url,
            known_hash=f"sha256:{expected}" if expected else None,
            fname=path.name,
            path=path.parent,
            downloader=transfer,
        )
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise ProjectError(
            f"the server answered {status}",
            where=file.url,
            remedy="the file may have moved: look at the page of the image set, and give its new place with "
            "--mirror",
        ) from error
    except requests.RequestException as error:
        kept = f" ({transfer.part.stat().st_size:,} bytes are kept)" if transfer.part.exists() else ""
        raise ProjectError(
            f"the file cannot be fetched{kept}: {_reason(error)}",
            where=file.url,
            remedy=f"check the connection and run again; or fetch it elsewhere and put it at {path}, "
            "and run again",
        ) from error
    except ValueError as error:
        raise ProjectError(
            f"the file has another checksum than expected: {error}",
            where=file.url,
            remedy=f"run again; if it stays, the file was changed or damaged ({expected} is expected)",
        ) from error


def _reason(error: Exception) -> str:
    text = str(error.__cause__ or error)
    return text if len(text) < 200 else type(error).__name__


class ResumingTransfer:
    """A downloader for pooch that appends to what a former try left.

    Parameters
    ----------
    name : for `progress`.
    part : the unfinished file. Beside it lies the server's tag of the file, so that the halves of two
        versions are never put together.
    """

    def __init__(self, name: str, part: Path, progress: Progress) -> None:
        self.part = part
        self._name = name
        self._tag = part.with_name(part.name + ".tag")
        self._progress = progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch `url` and leave it at `output_file`; raises requests.RequestException."""
        # Compressed on the way, lengths and ranges would be those of other bytes than the file's.
        headers = {"Accept-Encoding": "identity"}
        goes_on = self.part.exists() and self._tag.exists()
        if goes_on:
            headers |= {"Range": f"bytes={self.part.stat().st_size}-", "If-Range": self._tag.read_text()}
        with requests.get(url, stream=True, timeout=TIMEOUT_S, headers=headers) as answer:
            if goes_on and answer.status_code == requests.codes.requested_range_not_satisfiable:
                # The former try had come to the end, or the file became shorter.
                self._forget()
                return self(url, output_file, pooch)
            answer.raise_for_status()
            self._receive(answer)
        shutil.move(self.part, output_file)
        self._tag.unlink(missing_ok=True)
        return None

    def _receive(self, answer: requests.Response) -> None:
        going_on = answer.status_code == requests.codes.partial_content
        there = self.part.stat().st_size if going_on else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length is not None else 0
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise requests.exceptions.ContentDecodingError(f"the server sent the file as {encoding}, unasked")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if tag is not None:
            self._tag.write_text(tag)
        else:
            self._tag.unlink(missing_ok=True)
        with self.part.open("ab" if going_on else "wb") as sink:
            try:
                for chunk in answer.raw.stream(CHUNK, decode_content=False):
                    sink.write(chunk)
                    there += len(chunk)
                    self._progress(self._name, there, total)
            except HTTPError as error:
                raise requests.ConnectionError(error) from error
        if total and there != total:
            raise requests.ConnectionError(f"the transfer ended after {there:,} of {total:,} bytes")

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)
