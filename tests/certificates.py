"""Certificates of an authority of the tests' own, in files."""

from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization


class Certificate(NamedTuple):
    """Files of a certificate and of its key."""

    certificate: Path
    key: Path


def issued(folder: Path, name: str, by: trustme.CA) -> Certificate:
    """Write a certificate for this machine, and its key."""
    its, made = by.issue_cert("127.0.0.1", "localhost", common_name=name), folder / name
    files = Certificate(made.with_suffix(".crt"), made.with_suffix(".key"))
    its.cert_chain_pems[0].write_to_path(files.certificate)
    its.private_key_pem.write_to_path(files.key)
    return files


def encrypt(key: Path, path: Path, password: str) -> Path:
    """Write a key, encrypted by a password; return where."""
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    path.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
    )
    return path
