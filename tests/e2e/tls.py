"""Certificates of the lab, and TLS for sipp, which has none: a bridge beside it.

    sipp ── TCP ── bridge ══ TLS ══ SBC

The bridge changes no byte. Its TLS side listens where the user agent's Contact says.
"""

import asyncio
import os
import ssl
import subprocess
import threading

import lab


class Authority:
    """A certificate authority of one test, with its certificates in a directory."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.certificate = self._path("ca.pem")
        self._openssl("-subj", "/CN=lab authority", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-keyout", self._path("ca.key"), "-out", self.certificate)

    def issue(self, name, *alternatives):
        """A certificate for these names ("DNS:…", "IP:…"); gives the paths of certificate and key."""
        certificate, key = self._path(f"{name}.pem"), self._path(f"{name}.key")
        self._openssl("-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(alternatives)}",
                      "-addext", "basicConstraints=CA:FALSE", "-CA", self.certificate,
                      "-CAkey", self._path("ca.key"), "-keyout", f"{key}.new", "-out", f"{certificate}.new")
        # As an ACME client would: never half a file.
        os.rename(f"{key}.new", key)
        os.rename(f"{certificate}.new", certificate)
        return certificate, key

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "30", *arguments], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Bridge:
    """Carries bytes between TLS on the network and TCP beside it, on one host."""

    def __init__(self, host, authority, name, address):
        certificate, key = authority.issue(name, f"DNS:{name}.example", f"IP:{address}")
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(certificate, key)
        self._client = ssl.create_default_context(cafile=authority.certificate)
        self._client.load_cert_chain(certificate, key)
        self._host = host
        self._address = address
        self.tls_connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._starts = []
        self._writers = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def out(self, port, remote):
        """What connects to `port` on this host is carried on to `remote` by TLS."""
        async def carry(reader, writer):
            # The certificate must be for the address that is called.
            far = await asyncio.open_connection(*remote, ssl=self._client, server_hostname=remote[0])
            await self._join(reader, writer, *far)
        self._starts.append(lambda: asyncio.start_server(carry, self._address, port))

    def into(self, port, local):
        """What connects to `port` by TLS is carried on to `local`."""
        async def carry(reader, writer):
            far = await asyncio.open_connection(*local)
            await self._join(reader, writer, *far)
        self._starts.append(lambda: asyncio.start_server(carry, self._address, port, ssl=self._server))

    def start(self):
        self._thread.start()
        assert self._ready.wait(5), "the TLS bridge did not start"
        return self

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self):
        # Sockets are of the network of the thread that opens them.
        lab.enter(self._host.namespace)
        asyncio.set_event_loop(self._loop)
        servers = [self._loop.run_until_complete(start()) for start in self._starts]
        self._ready.set()
        self._loop.run_forever()
        # A socket that stays open keeps the host's network alive, and the next test's from being made.
        for server in servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _join(self, near_reader, near_writer, far_reader, far_writer):
        self.tls_connections += 1
        self._writers += [near_writer, far_writer]
        try:
            await asyncio.gather(pump(near_reader, far_writer), pump(far_reader, near_writer))
        except asyncio.CancelledError:
            # The test is over. (asyncio prints an error if a connection's task ends so.)
            pass


async def pump(reader, writer):
    """Carries bytes one way until the end, which it carries, too."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
