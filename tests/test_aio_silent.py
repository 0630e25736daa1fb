"""Servers that never answer, and callers of the asyncio client that give up."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from fix_aio import run
from fix_impostor import Impostor
from fix_worker import RawWorker

from gearman_c import UsageError
from gearman_c.aio import Client
from gearman_c.testing import Gearmand


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""

    def listen(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with Impostor(listen) as impostor:
        yield impostor.address


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "do": lambda client: client.do("f"),
    "do_background": lambda client: client.do_background("f"),
    "do_background at": lambda client: client.do_background("f", at=time.time() + 1000),
    "submit": lambda client: anext(client.submit("f", [b"x"])),
    "job_status": lambda client: client.job_status("H:a:1"),
    "unique_status": lambda client: client.unique_status("key"),
    "echo": lambda client: client.echo(b"x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_given_up_while_the_server_is_silent(gearmand: Gearmand, silent: str, name: str) -> None:
    """Neither the next call nor close() waits for what nobody wants any more."""

    async def main() -> None:
        async with Client(silent) as client:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.15):
                        await CALLS[name](client)
            client.remove_servers()
            client.add_servers(gearmand.address)
            await client.echo(b"x")
            await client.run_tasks()
            assert await client.do_background("f")
            client.remove_servers()
            client.add_servers(silent)
            call = asyncio.ensure_future(CALLS[name](client))
            await asyncio.sleep(0.15)  # there is nothing to see of it
            await client.close()
            with pytest.raises(UsageError, match="the client was closed"):
                await call

    run(main())


@pytest.mark.parametrize(
    "name", sorted(CALLS.keys() - {"submit"})
)  # its task stays, with a warning
def test_the_interpreter_ends(silent: str, run_script: Callable[..., str], name: str) -> None:
    """It waits for the threads of executors, so none may be left in a call without a limit."""
    code = """
import asyncio, sys
from test_aio_silent import CALLS
from gearman_c.aio import Client

async def main():
    client = Client(sys.argv[1])
    try:
        await asyncio.wait_for(CALLS[sys.argv[2]](client), 0.2)
    except TimeoutError:
        print("over")

asyncio.run(main())
"""
    assert run_script(code, silent, name) == "over\n"


def test_cancelled_while_it_connects(gearmand: Gearmand, worker: RawWorker) -> None:
    async def main() -> None:
        async with Client(gearmand.address) as client:
            gearmand.pause()
            call = asyncio.create_task(client.do("reverse"))
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            gearmand.resume()
            assert await client.do("reverse", b"ab") == b"ba"

    run(main())
