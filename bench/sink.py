"""An S3 server that stores nothing and responds at once, to measure clients only: `python -m bench.sink [DELAY_MS]`.

A put is read to its end and discarded; a hash of its key is kept, for put-if-absent. Listings are empty.
"""

import asyncio
import sys
from asyncio import BufferedProtocol, Transport
from typing import cast

EMPTY = b"<ListBucketResult><Name>bench</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
TAKEN = b"<Error><Code>PreconditionFailed</Code></Error>"
PUT = b'HTTP/1.1 200 OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\nContent-Length: 0\r\n\r\n'


class Sink(BufferedProtocol):
    """One connection: requests are read one after the other, their bodies into the same buffer."""

    def __init__(self, keys: set[int], delay_seconds: float) -> None:
        self._keys = keys
        self._delay = delay_seconds
        self._buffer = memoryview(bytearray(2**18))
        self._head = b""
        self._left = 0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        start = 0
        while start < nbytes or (self._answer and not self._left):
            if self._answer:
                taken = min(self._left, nbytes - start)
                self._left, start = self._left - taken, start + taken
                if not self._left:
                    self._send()
            else:
                self._head += self._buffer[start:nbytes]
                start = nbytes
                end = self._head.find(b"\r\n\r\n") + 4
                if end >= 4:
                    start -= len(self._head) - end
                    self._begin(self._head[:end])
                    self._head = b""

    def _begin(self, head: bytes) -> None:
        fields = head.lower()
        at = fields.find(b"\r\ncontent-length:")
        self._left = int(fields[at + 17 : fields.index(b"\r\n", at + 17)]) if at >= 0 else 0
        if b"\r\nexpect:" in fields:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.startswith(b"PUT"):
            key, count = hash(head.split(b"?", 1)[0].split(b" ")[1]), len(self._keys)
            self._keys.add(key)
            taken = len(self._keys) == count and b"\r\nif-none-match:" in fields
            self._answer = _answer(b"412 Precondition Failed", TAKEN) if taken else PUT
        else:
            self._answer = _answer(b"200 OK", EMPTY) if head.startswith(b"GET") else _answer(b"404 Not Found", b"")

    def _send(self) -> None:
        answer, self._answer = self._answer, b""
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def _serve(delay_seconds: float) -> None:
    keys: set[int] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Sink(keys, delay_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0))
