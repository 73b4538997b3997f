"""Certificates for one test, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

DAYS = ("-days", "2")
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Shown(NamedTuple):
    """What an agent shows, and whom it believes."""

    cert: str
    key: str
    authority: str


class Authority:
    """Somebody who signs."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self.cert = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        openssl("req", "-x509", *KEY, *DAYS, "-subj", f"/CN={name}", "-keyout", self._key,
                "-out", self.cert)  # fmt: skip

    def issue(self, host: str) -> Shown:
        """A certificate for a host, with its key."""
        request, cert, key = (
            self._folder / f"{self._name}-{host}.{end}" for end in ("csr", "pem", "key")
        )
        openssl("req", *KEY, "-subj", f"/CN={host}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key,
                "-CAcreateserial", *DAYS, "-out", cert)  # fmt: skip
        return Shown(str(cert), str(key), str(self.cert))


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
