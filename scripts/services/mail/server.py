"""A mail server for tests: takes what it is given and puts each message into a file of its own.

    server.py FOLDER PORT TLS_PORT

PORT speaks plainly and offers STARTTLS, TLS_PORT is encrypted from the first byte. FOLDER has server.crt and server.key.
A message for maya@example.com becomes FOLDER/inbox/maya@example.com/NUMBER.eml, NUMBER counting up over all of them.
Addresses that begin with `refused` are refused for good, `busy` for now, `full` for good after the message, `slow`
are answered after SLOW_SECONDS, `cut` are taken and the connection is cut before the answer. Whoever signs in is
`affilitrack` with the password `right`.
"""

import asyncio
import itertools
import pathlib
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

SLOW_SECONDS = 3
MAX_MESSAGE_BYTES = 5_000_000


class Inbox:
    def __init__(self, folder):
        self.folder = folder
        taken = (int(file.stem) for file in folder.glob("*/*.eml"))
        self.numbers = itertools.count(max(taken, default=0) + 1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 there is no such mailbox"
        if address.startswith("busy"):
            return "451 4.3.0 come again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        names = [address.partition("@")[0] for address in envelope.rcpt_tos]
        if any(name.startswith("full") for name in names):
            return "552 5.2.2 the mailbox is full"
        for address in envelope.rcpt_tos:
            if "/" in address or address.startswith("."):
                return "553 5.1.3 not a name"
            mailbox = self.folder / address
            mailbox.mkdir(parents=True, exist_ok=True)
            file = mailbox / f"{next(self.numbers):08}.eml"
            file.with_suffix(".part").write_bytes(envelope.original_content)
            file.with_suffix(".part").rename(file)
        if any(name.startswith("cut") for name in names):
            server.transport.abort()
        if any(name.startswith("slow") for name in names):
            await asyncio.sleep(SLOW_SECONDS)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = data.login == b"affilitrack" and data.password == b"right"
    return AuthResult(success=right, handled=False)


def main():
    folder = pathlib.Path(sys.argv[1])
    port, tls_port = int(sys.argv[2]), int(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    inbox = Inbox(folder / "inbox")
    common = {
        "hostname": "127.0.0.1",
        "authenticator": authenticate,
        "auth_require_tls": False,
        "data_size_limit": MAX_MESSAGE_BYTES,
        "decode_data": False,
    }
    Controller(inbox, port=port, tls_context=context, **common).start()
    Controller(inbox, port=tls_port, ssl_context=context, **common).start()
    (folder / "address").write_text(f"127.0.0.1 {port} {tls_port}\n")
    asyncio.new_event_loop().run_forever()


main()
