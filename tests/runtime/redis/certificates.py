"""Certificates of an authority of the tests' own, made by OpenSSL."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """Files of a certificate and of its key."""

    certificate: Path
    key: Path

    def encrypted(self, path: Path, password: str) -> Path:
        """Write the key, encrypted by a password; return where."""
        _openssl("ec", "-in", self.key, "-aes256", "-passout", f"pass:{password}", "-out", path)
        return path


def authority(folder: Path, name: str) -> Certificate:
    """Make an authority that may sign certificates."""
    made = _files(folder, name)
    _openssl("req", "-x509", *_key(made), "-out", made.certificate, "-days", "2", *_named(name))
    return made


def signed(folder: Path, name: str, by: Certificate) -> Certificate:
    """Make a certificate for this machine, signed by an authority."""
    made, request = _files(folder, name), folder / f"{name}.csr"
    _openssl("req", *_key(made), "-out", request, *_named(name))
    names = folder / "names.txt"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    signer = ("-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial", "-extfile", names)
    _openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-out", made.certificate)
    return made


def _files(folder: Path, name: str) -> Certificate:
    folder.mkdir(parents=True, exist_ok=True)
    return Certificate(folder / f"{name}.crt", folder / f"{name}.key")


def _key(made: Certificate) -> tuple[str | Path, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", made.key)


def _named(name: str) -> tuple[str, str]:
    return "-subj", f"/CN={name}"


def _openssl(*arguments: str | Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which makes the certificates")
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
