"""A PostgreSQL of our own, where one is installed: started on a free port in a scratch folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path


def programs() -> Path | None:
    found = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    onpath = shutil.which("initdb")
    return Path(onpath).parent if onpath else found[-1] if found else None


class Cluster:
    """A PostgreSQL of our own; the server refuses to run as root, so then another user runs it."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.before = ["runuser", "-u", "nobody", "--"] if os.getuid() == 0 else []
        if self.before:
            shutil.chown(folder, "nobody")
        self.run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "tester", "--no-sync")
        self.start()

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self.before, str(self.programs / program), *arguments], check=True, cwd="/", stdout=subprocess.DEVNULL
        )

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=60"
        command = [
            "pg_ctl",
            "-D",
            str(self.folder / "data"),
            "-w",
            "-l",
            str(self.folder / "log"),
            "-o",
            options,
            "start",
        ]
        self.run(*command)

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def create(self) -> str:
        """A new, empty database of this cluster; its URL."""
        import psycopg

        name = f"d{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url.replace("/postgres", f"/{name}")

    def drop(self, url: str) -> None:
        """Ends such a database: a server that was killed syncs every file of every one when it starts."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)".encode())
