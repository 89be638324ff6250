"""A certificate authority for one run, and the certificates it signs."""

import subprocess
from pathlib import Path
from typing import Final

_NAMES: Final = (
    "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1\n"
    "extendedKeyUsage=clientAuth,serverAuth\n"
)
_DAYS: Final = "2"


def make_authority(folder: Path) -> None:
    """Write ca.key and ca.crt into the folder."""
    new = ("req", "-x509", *_new_key(folder, "ca"), "-days", _DAYS)
    _openssl(*new, "-subj", "/CN=ca", "-out", str(folder / "ca.crt"))


def make_certificate(folder: Path, name: str, common_name: str) -> None:
    """Write `name`.key and `name`.crt, signed by the authority, for servers and clients here."""
    request, names = folder / f"{name}.csr", folder / f"{name}.ext"
    names.write_text(_NAMES)
    _openssl("req", *_new_key(folder, name), "-subj", f"/CN={common_name}", "-out", str(request))
    signer = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    sign = ("x509", "-req", "-in", str(request), *signer, "-days", _DAYS)
    _openssl(*sign, "-extfile", str(names), "-out", str(folder / f"{name}.crt"))


def make_signing_key(folder: Path) -> None:
    """Write sa.key and sa.pub, which the tokens of service accounts are signed with."""
    key = folder / "sa.key"
    _openssl("genrsa", "-out", str(key), "2048")
    _openssl("rsa", "-in", str(key), "-pubout", "-out", str(folder / "sa.pub"))


def _new_key(folder: Path, name: str) -> tuple[str, ...]:
    return ("-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / f"{name}.key"))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
