"""onnxruntime-web, fetched once at its pinned version from the npm registry, verified, and kept in the user's cache.

The registry is the one npm is configured for. A package whose sha512 is not the pinned one is never used.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import urllib.request
from http.client import HTTPException
from pathlib import Path

from ropewalk.errors import UserError
from ropewalk.system.cache_folder import cache_folder
from ropewalk.system.files import write_atomically

NAME, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
DEFAULT_REGISTRY = "https://registry.npmjs.org/"
LARGEST = 64 * 1024 * 1024


def copy_into(folder: str | Path) -> None:
    """Puts the runtime's files into `folder`, fetching the package where the cache has no good copy."""
    folder = Path(folder)
    with tarfile.open(fileobj=io.BytesIO(package()), mode="r:gz") as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise UserError(f"the package {NAME} {VERSION} lacks {name}; upgrade ropewalk.")
            write_atomically(folder / name, member.read())


def package() -> bytes:
    """The verified bytes of the package."""
    cached = cache_folder() / f"{NAME}-{VERSION}.tgz"
    if cached.is_file() and genuine(data := cached.read_bytes()):
        return data
    data = _download(f"{registry()}{NAME}/-/{NAME}-{VERSION}.tgz")
    if not genuine(data):
        raise UserError(
            f"expected the package {NAME} {VERSION} with the pinned sha512, got another file from the registry; "
            "try again, or check which registry npm is configured for."
        )
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(cached, data)
    return data


def genuine(data: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(data).digest()).decode() == INTEGRITY


def registry() -> str:
    """The registry that npm is configured for, ending in a slash."""
    found, npm = "", shutil.which("npm")
    if npm:
        try:
            asked = subprocess.run(
                [npm, "config", "get", "registry"], capture_output=True, text=True, timeout=30, check=False
            )
            found = asked.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            found = ""
    if not found.startswith(("https://", "http://")):
        found = DEFAULT_REGISTRY
    return found.rstrip("/") + "/"


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            data: bytes = response.read(LARGEST + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(
            f"cannot fetch {NAME} {VERSION}: {getattr(error, 'reason', error)}; connect to the network, or put the "
            f"package as {NAME}-{VERSION}.tgz into {cache_folder()}."
        ) from error
    return data[:LARGEST]
