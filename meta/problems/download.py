"""python -m meta.problems.download FOLDER: fetches MNIST's four files into a folder, 12 MB, and checks them.

A file that is there and whole is not fetched again. Each is unpacked and compared with the SHA-256 of the original
before it gets its name, so a folder never holds a damaged one. Then `tuner sweep ten --set fixed.data=FOLDER`.
"""

import argparse
import gzip
import hashlib
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.hub import download_url_to_file

SOURCES = (  # tried in this order; PyTorch's own copy first
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {  # SHA-256 of the contents, unpacked
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def download(
    folder: str | Path, sources: Sequence[str] = SOURCES, files: Mapping[str, str] = FILES
) -> list[str]:
    """Fetches what `folder` lacks, with a progress bar on standard error. Returns the names of the fetched files.

    sources: addresses that have NAME.gz for each name; the next is tried where one fails. files: name -> SHA-256.
    Raises OSError when a file can't be had from any source, saying why from each; those before it stay.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name, digest in files.items() if not _whole(folder / name, digest)]
    for name in wanted:
        _fetch(folder / name, files[name], sources)
    return wanted


def _fetch(path: Path, digest: str, sources: Sequence[str]) -> None:
    packed, reasons = path.with_name(f"{path.name}.gz.part"), []
    for source in sources:
        url = f"{source}{path.name}.gz"
        print(url, file=sys.stderr)
        try:
            download_url_to_file(url, str(packed))
            contents = gzip.decompress(packed.read_bytes())
        except (OSError, EOFError, zlib.error) as error:  # urllib's errors are OSErrors
            reasons.append(f"{url}: {error}")
            continue
        finally:
            packed.unlink(missing_ok=True)
        found = hashlib.sha256(contents).hexdigest()
        if found == digest:
            unfinished = path.with_name(f"{path.name}.part")
            unfinished.write_bytes(contents)
            unfinished.replace(path)
            return
        reasons.append(f"{url}: its contents have the SHA-256 {found}, not {digest}")
    raise OSError(
        f"{path}: can't be fetched; {'; '.join(reasons)}. Try again, give another --source, or put the file there"
    )


def _whole(path: Path, digest: str) -> bool:
    """Whether the file is there, plain or packed, and is the original."""
    packed = path.with_name(f"{path.name}.gz")
    try:
        contents = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error):
        return False
    return hashlib.sha256(contents).hexdigest() == digest


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, or 2 if a file can't be had."""
    parser = argparse.ArgumentParser(
        prog="python -m meta.problems.download",
        description="Fetch what FOLDER lacks of MNIST's four files, 12 MB, and check each.",
        epilog="Then: tuner sweep ten --set fixed.data=FOLDER",
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--source", metavar="URL", help="fetch URL/NAME.gz instead of from the usual places")
    given = parser.parse_args(arguments)
    sources = SOURCES if given.source is None else [given.source.rstrip("/") + "/"]
    try:
        fetched = download(given.folder, sources)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{given.folder}: {len(fetched)} of {len(FILES)} files fetched, all as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
