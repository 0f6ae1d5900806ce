"""PostgreSQL servers of a run's own: a primary, and replicas that are promoted in mid-run.

Clients connect at one address, a folder with the link to the socket of the present primary. A promotion turns the
link around, as a floating address does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from chaos.machine import choose_user, find_postgresql
from chaos.processes import Program, find_free_port, wait_until

PORT = 5432  # of the socket's name; no TCP port is open but for replication
STARTUP = 60.0  # seconds
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
max_connections = 150
shared_buffers = 32MB
max_wal_size = 96MB
min_wal_size = 32MB
wal_keep_size = 64MB
max_wal_senders = 5
hot_standby = on
restart_after_crash = on
autovacuum_naptime = 10
"""


class Server:
    """One server with its folder."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.port = folder, find_free_port()
        self._programs = find_postgresql()
        self._user = choose_user()
        folder.mkdir(mode=0o700)
        if self._user:
            shutil.chown(folder, self._user["user"], self._user["group"])
        self.data = folder / "data"
        self._log = log
        command = [str(self._programs / "postgres"), "-D", str(self.data)]
        self.program = Program("database", command, {"LC_ALL": "C.UTF-8"}, log, extra_groups=[], **self._user)
        if not self._user:
            self.program = Program("database", command, {"LC_ALL": "C.UTF-8"}, log)

    def make(self) -> None:
        """Make a new cluster, in which a commit is on disk before it is answered."""
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-instructions"]
        self._call("initdb", "-D", str(self.data), *options)
        self._configure()
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")

    def copy(self, primary: Server) -> None:
        """Become a replica of a running server."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name=replica"
        self._call("pg_basebackup", "-d", source, "-D", str(self.data), "-R", "-c", "fast", "-X", "stream")
        self._configure()

    def _configure(self) -> None:
        text = CONFIGURATION.format(folder=self.folder, port=self.port)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(text)

    def _call(self, name: str, *arguments: str) -> None:
        with self._log.open("ab") as output:
            subprocess.run(
                [str(self._programs / name), *arguments],
                stdout=output,
                stderr=output,
                cwd="/",
                check=True,
                **self._user,
            )

    @property
    def socket(self) -> Path:
        """The socket at which it listens."""
        return self.folder / f".s.PGSQL.{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers. What its predecessor left is cleared away."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.program.start()
        wait_until(self.answers, STARTUP, f"an answer of the database in {self.folder.name}")

    def answers(self) -> bool:
        """Whether it answers. It is started again if its disk was full."""
        if not self.program.runs():
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self.program.start()
        try:
            return self.ask("SELECT 1") == 1
        except psycopg.Error:
            return False

    def ask(self, statement: str) -> object:
        """Run one statement. Return the first column of the first row, None if there is none."""
        with psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user="postgres",
            dbname="postgres",
            connect_timeout=3,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def fall(self) -> None:
        """Fall as in a power cut: all of its processes at once."""
        self._to_all(signal.SIGKILL)
        self.program.sweep_away()

    def hold_back(self) -> None:
        """Stop the process that sends to the replica."""
        sender = self.ask("SELECT pid FROM pg_stat_replication")
        assert isinstance(sender, int)
        os.kill(sender, signal.SIGSTOP)

    def stop_at_once(self) -> None:
        """Shut down without finishing anything (`immediate`)."""
        self.program.signal(signal.SIGQUIT)
        if self.program.process:
            self.program.process.wait(30)
        self.program.sweep_away()

    def hold(self) -> None:
        """Stop all of its processes, which stay where they are."""
        self._to_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them go on."""
        self._to_all(signal.SIGCONT)

    def _to_all(self, number: signal.Signals) -> None:
        try:
            mother = psutil.Process(self.program.pid)
            family = [mother, *mother.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


class Cluster:
    """The primary of now, at an address that stays the same, and its replica if it has one."""

    vendor = "postgresql"

    def __init__(self, folder: Path, make_disk: Callable[[str], Path]) -> None:
        self._make_disk, self._log = make_disk, folder / "postgresql.log"
        self._count = 0
        self.address = folder / "address"
        self.address.mkdir(mode=0o755)
        self.primary = self._make_server()
        self.replica: Server | None = None
        self.primary.make()
        self.primary.start()
        self._turn()

    def _make_server(self) -> Server:
        self._count += 1
        return Server(self._make_disk(f"disk-{self._count}") / "server", self._log)

    @property
    def disk(self) -> Path:
        """The disk of the primary, with nothing else on it."""
        return self.primary.folder.parent

    @property
    def url(self) -> str:
        """The DATABASE_URL of the product."""
        return f"postgres://postgres@/postgres?host={quote(str(self.address), safe='')}"

    def _turn(self) -> None:
        """Let the address mean the present primary."""
        draft = self.address / "draft"
        draft.unlink(missing_ok=True)
        draft.symlink_to(self.primary.socket)
        draft.replace(self.address / f".s.PGSQL.{PORT}")

    def add_replica(self, *, synchronous: bool) -> None:
        """Make a replica, and wait until it follows. If `synchronous`, each commit waits for it from now on."""
        self.replica = self._make_server()
        self.replica.copy(self.primary)
        self.replica.start()
        names = "'*'" if synchronous else "''"
        self.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = {names}")
        self.primary.ask("SELECT pg_reload_conf()")
        wanted = "sync" if synchronous else "async"
        follows = f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{wanted}'"
        wait_until(lambda: self.primary.ask(follows) == 1, STARTUP, f"a replica that is {wanted}")

    def promote(self) -> None:
        """Lose the primary with all that only it has, and promote its replica."""
        assert self.replica is not None
        self.primary.fall()
        lost, self.primary, self.replica = self.primary, self.replica, None
        self.primary.ask("SELECT pg_promote(true)")
        self._turn()
        self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.ask("SELECT pg_reload_conf()")
        shutil.rmtree(lost.folder)

    def restart(self) -> None:
        """Shut the primary down at once, and start it again."""
        self.primary.stop_at_once()
        self.primary.start()

    def wait(self) -> None:
        """Wait until the primary answers again, whatever ended it."""
        wait_until(self.primary.answers, STARTUP, "an answer of the database")

    def connect(self) -> psycopg.Connection:
        """Return a new connection to the primary. Raises psycopg.Error."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=3)

    def close(self) -> None:
        """End all servers."""
        for server in (self.primary, self.replica):
            if server is not None:
                server.fall()
