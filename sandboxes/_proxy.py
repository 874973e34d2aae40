"""The way out of a sandbox that may reach a few hosts: a proxy that connects to those and refuses all others.

Run with Python's standard library alone, in a container of its own: `python3 - PORT HOST…` with this file as input.
A HOST is a name, or `*.name` for everything below it. It takes `CONNECT host:port` (what https uses) and plain
`GET http://…` requests, one to a connection.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

LONGEST = 1 << 16
SECONDS = 30.0


def allowed(host: str, patterns: list[str]) -> bool:
    """Whether a host is on the list; case and a final dot do not count."""
    name = host.lower().rstrip(".")
    return any(name == one or (one.startswith("*.") and name.endswith(one[1:])) for one in patterns)


def target_of(line: str) -> tuple[str, int, str]:
    """The host and port of a request's first line, and the line to send on (none for CONNECT).

    Raises:
        ValueError: it is no request for a proxy.
    """
    method, address, version = line.split(" ")
    if method == "CONNECT":
        host, _, port = address.rpartition(":")
        return host.strip("[]"), int(port), ""
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, parts.port or 80, f"{method} {path} {version}\r\n"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes, until it ends."""
    try:
        while data := await reader.read(LONGEST):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patterns: list[str]) -> None:
    """One connection."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        line, _, rest = head.decode("latin-1").partition("\r\n")
        host, port, first = target_of(line)
        if not allowed(host, patterns):
            writer.write(f"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Refused: {host}\r\n\r\n".encode())
            return
        there, away = await asyncio.wait_for(asyncio.open_connection(host, port), SECONDS)
        if first:
            kept = [one for one in rest.split("\r\n") if not one.lower().startswith(("proxy-", "connection:"))]
            away.write((first + "Connection: close\r\n" + "\r\n".join(kept)).encode("latin-1"))
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, away), copy(there, writer))
        away.close()
    except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    finally:
        writer.close()


async def main(port: int, patterns: list[str]) -> None:
    """Serve until the container ends."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, patterns)

    server = await asyncio.start_server(one, "0.0.0.0", port)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [pattern.lower() for pattern in sys.argv[2:]]))
