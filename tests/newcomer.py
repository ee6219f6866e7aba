#!/usr/bin/env python3
"""Follows README.md and docs/quick-start.md to the letter, and fails where a line of them is not true.

usage: newcomer.py [--show] [FILE.md ...]      DRAWBRIDGE=FILE names the binary.

What a page shows as typed is typed: in namespaces of its own, with a network, an /etc, a PBX and a carrier that nobody else
sees. What it shows as printed must be printed; digits may differ, and a line of "…" stands for any lines.

What is printed differs from run to run in digits, blanks and colours, which are not compared, and in what depends on the machine
or on the moment: a page writes "…" there, which stands for anything up to what follows it.

Each fenced block is of one kind, so that none is passed over:

- lines that begin with "$ " are commands, those below each are its output;
- after <!-- newcomer: here --> every line is a command, and must exit with 0;
- after <!-- newcomer: file PATH --> it is written to PATH;
- after <!-- newcomer: append PATH --> it is written behind what PATH has;
- after <!-- newcomer: tables PATH --> its tables take the place of those of the same name in PATH;
- after <!-- newcomer: prints COMMAND --> it is what COMMAND prints, in whatever order (two sides of a call are);
- after <!-- newcomer: appliance --> it is for a machine with systemd and the package: tests/appliance runs it (`blocks()`);
- after <!-- newcomer: shown WHY --> it is not run. That is for what cannot be: what fetches, builds, installs or upgrades, what runs this
  script, a provider that nobody can reach from here, and a screen full of traffic that would take minutes to make;
- <!-- newcomer: call FROM TO --> between blocks is a call from the PBX, that the carrier answers;
- <!-- newcomer: dns NAME ADDRESS … --> between blocks is what DNS says of a name from then on; nobody answers at SILENT.
"""

import dataclasses
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PAGES = ("README.md", "docs/quick-start.md")
INSIDE = "DRAWBRIDGE_NEWCOMER_INSIDE"
PBX, CARRIER, SILENT = "10.0.0.10", "192.0.2.1", "192.0.2.2"
ADDRESSES = ("10.0.0.5/24", "203.0.113.5/24", PBX + "/24", CARRIER + "/24", SILENT + "/24")
NAMES = {"sip.carrier.example": [CARRIER]}
USER, PASSWORD, REALM = "alice", "correct horse", "carrier.example"
SECONDS = 60


# ------------------------------------------------------------------------------------------ pages

@dataclasses.dataclass
class Block:
    """A fenced block of a page, or a mark that stands alone."""
    page: str
    line: int
    language: str
    mark: str
    text: str

    @property
    def kind(self):
        """The first word of its mark; console without one, and nothing where a mark lacks."""
        if self.mark:
            return self.mark.split()[0]
        return "console" if self.text.startswith("$ ") else ""

    @property
    def place(self):
        return f"{self.page}:{self.line}"

    def commands(self):
        """Each command with the lines that it is shown to print; None: none are shown."""
        if self.kind == "prints":
            return [(self.mark.split(" ", 1)[1], self.text.splitlines())]
        if not self.text.startswith("$ "):
            return [(line, None) for line in self.text.splitlines() if line.strip()]
        found = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return found


def blocks(page):
    """Every block of a page, in order. `page` is a path from the project's root."""
    found, mark, fence = [], "", None
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            stripped = line.strip()
            comment = re.fullmatch(r"<!-- newcomer: (.+) -->", stripped)
            if fence is not None:
                if stripped == "```":
                    found.append(Block(page, fence[0], fence[1], mark, "".join(fence[2])))
                    fence, mark = None, ""
                else:
                    fence[2].append(line)
            elif stripped.startswith("```"):
                fence = (number, stripped[3:], [])
            elif comment and comment[1].startswith(("call ", "dns ")):
                found.append(Block(page, number, "", comment[1], ""))
            elif comment:
                mark = comment[1]
            elif stripped and mark:
                raise SystemExit(f"{page}:{number}: a mark without a block")
    return found


def plain(line):
    """A line without what varies: numbers, their signs, blanks, colours."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    line = re.sub(r"[+-]?\d+(?:\.\d+)?", "0", line)
    line = re.sub(r"\s+", " ", line).strip()
    # For how long something is up is told in the units that it takes.
    return re.sub(r"(?:0 (?:d|h|min) )*0 (d|h|min|s)\b", r"0 s", line)


def differs(shown, printed):
    """What is wrong with what was printed, or nothing."""
    shown = [plain(line) for line in shown]
    printed = [plain(line) for line in printed]
    for lines in (shown, printed):
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:
            lines.pop(0)
    def fits(line, other):
        return re.fullmatch(".*".join(re.escape(part) for part in line.split("…")), other)
    at = 0
    for index, line in enumerate(shown):
        if line == "…":
            rest = shown[index + 1] if index + 1 < len(shown) else None
            while at < len(printed) and (rest is None or not fits(rest, printed[at])):
                at += 1
            continue
        if at >= len(printed):
            return f"is not printed: {line}"
        if not fits(line, printed[at]):
            return f"shown   {line}\n      printed {printed[at]}"
        at += 1
    return "" if at == len(printed) else f"is printed as well: {printed[at]}"


def with_tables(text, tables):
    """A configuration in which these tables take the place of those of the same name."""
    header = re.compile(r"^\[+([^\]]+)\]+")
    new = {header.match(line)[1] for line in tables.splitlines() if header.match(line)}
    kept, is_kept = [], True
    for line in text.splitlines(keepends=True):
        if header.match(line):
            is_kept = header.match(line)[1] not in new
        if is_kept:
            kept.append(line)
    return "".join(kept) + "\n" + tables


# ----------------------------------------------------------------------------------- the other side

class Agent(threading.Thread):
    """A SIP user agent by UDP that answers what it is asked; the carrier wants a password."""

    def __init__(self, address, wants_password):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 5060))
        self.address, self.wants_password = address, wants_password
        self.answers = {}
        self.heard = threading.Condition()

    def run(self):
        while True:
            data, peer = self.socket.recvfrom(65535)
            text = data.decode()
            if text.startswith("SIP/2.0"):
                with self.heard:
                    self.answers.setdefault(header(text, "Call-ID"), []).append(text)
                    self.heard.notify_all()
            else:
                self.answer(text, peer)

    def answer(self, text, peer):
        method = text.split(" ", 1)[0]
        if method == "ACK":
            return
        if self.wants_password and method in ("INVITE", "REGISTER") and not self.is_password(text, method):
            self.reply(text, peer, "401 Unauthorized",
                       f'WWW-Authenticate: Digest realm="{REALM}", nonce="n1", algorithm=MD5, qop="auth"\r\n')
        elif method == "INVITE":
            self.reply(text, peer, "180 Ringing")
            self.reply(text, peer, "200 OK", body=sdp(self.address))
        else:
            self.reply(text, peer, "200 OK")

    @staticmethod
    def is_password(text, method):
        found = dict(re.findall(r'(\w+)="?([^",]+)"?', header(text, "Authorization") or ""))
        if "response" not in found:
            return False
        def md5(*parts):
            return hashlib.md5(":".join(parts).encode()).hexdigest()
        wanted = md5(md5(USER, REALM, PASSWORD), "n1", found["nc"], found["cnonce"], "auth",
                     md5(method, found["uri"]))
        return found["response"] == wanted

    def reply(self, request, peer, status, more="", body=""):
        vias = "".join(f"{line}\r\n" for line in request.split("\r\n") if line.lower().startswith("via:"))
        to = header(request, "To")
        to += "" if ";tag=" in to else ";tag=callee"
        same = "".join(f"{name}: {header(request, name)}\r\n" for name in ("From", "Call-ID", "CSeq"))
        self.send(f"SIP/2.0 {status}\r\n{vias}To: {to}\r\n{same}{more}Contact: <sip:{self.address}:5060>\r\n", body, peer)

    def send(self, head, body, peer):
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self.socket.sendto(f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode(), peer)

    def call(self, caller, called, sbc):
        """Calls, talks for a moment, hangs up."""
        call_id = f"{time.monotonic_ns()}@pbx"
        def request(method, cseq, to_tag="", body=""):
            self.send(f"{method} sip:{called}@{sbc} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address}:5060;branch=z9hG4bK{call_id[:-4]}{cseq}{method}\r\n"
                      f"Max-Forwards: 70\r\nFrom: <sip:{caller}@{self.address}>;tag=caller\r\nTo: <sip:{called}@{sbc}>{to_tag}\r\n"
                      f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{caller}@{self.address}:5060>\r\n", body, (sbc, 5060))
        request("INVITE", 1, body=sdp(self.address))
        answer = self.final(call_id, 1)
        if not answer.startswith("SIP/2.0 200"):
            raise AssertionError(f"the call met {answer.splitlines()[0]}")
        tag = ";tag=" + header(answer, "To").split(";tag=")[1]
        request("ACK", 1, tag)
        time.sleep(1)
        request("BYE", 2, tag)
        self.final(call_id, 2)

    def final(self, call_id, cseq):
        def found():
            return [text for text in self.answers.get(call_id, ())
                    if header(text, "CSeq").startswith(f"{cseq} ") and not text.startswith("SIP/2.0 1")]
        with self.heard:
            if not self.heard.wait_for(found, SECONDS):
                raise AssertionError(f"no answer; heard {self.answers.get(call_id)}")
        return found()[0]


def header(text, name):
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\r$", text)
    return found[1] if found else None


def sdp(address):
    return (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")


def serve_names():
    """A DNS server that knows the addresses of NAMES and says of all else that there is nothing."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    def run():
        while True:
            query, peer = server.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            question = query[12:at + 5]
            addresses = NAMES.get(".".join(labels), []) if question[-4:-2] == b"\0\1" else []
            head = query[:2] + b"\x85\x80" + struct.pack(">HHHH", 1, len(addresses), 0, 0)
            records = [b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address) for address in addresses]
            server.sendto(head + question + b"".join(records), peer)
    threading.Thread(target=run, daemon=True).start()


# ------------------------------------------------------------------------------------------ the stage

def inside(page):
    """Follows a page where nobody else is: in a network, mounts and processes of its own. Gives the exit status."""
    flags = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        flags = ["--user", "--map-root-user", *flags]
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    command = ["unshare", *flags, sys.executable, "-B", os.path.abspath(__file__), *options, page]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


class Stage:
    """What the package would have brought, and the two that Drawbridge stands between."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="drawbridge-newcomer-")
        self.daemon = None
        etc, tools = os.path.join(self.directory, "etc"), os.path.join(self.directory, "bin")
        subprocess.run(["cp", "-a", "/etc", etc], check=False, stderr=subprocess.DEVNULL)
        quiet("mount", "--bind", etc, "/etc")
        for path in ("/run", "/var/log"):
            quiet("mount", "-t", "tmpfs", "none", path)
        # The service's group: ours, for in here there is no other.
        for file, line in (("/etc/group", "drawbridge:x:0:\n"), ("/etc/passwd", "drawbridge:x:0:0::/:/bin/false\n")):
            with open(file, "a", encoding="utf-8") as lines:
                lines.write(line)
        os.makedirs(tools)
        os.symlink(os.path.abspath(os.environ["DRAWBRIDGE"]), os.path.join(tools, "drawbridge"))
        script(os.path.join(tools, "sudo"), '#!/bin/sh\nexec "$@"\n')
        os.environ["PATH"] = tools + os.pathsep + os.environ["PATH"]
        os.environ.pop("NO_COLOR", None)
        shutil.rmtree("/etc/drawbridge", ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "etc", "trunks.d"), "/etc/drawbridge/trunks.d")
        shutil.copy(os.path.join(ROOT, "etc", "drawbridge.toml"), "/etc/drawbridge/drawbridge.toml")
        for path in ("/run/drawbridge", "/var/log/drawbridge", "/etc/drawbridge/tls"):
            os.makedirs(path)
        # What the operator has and no page can show: a certificate, and the password of a second provider.
        quiet("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=sbc", "-days", "30",
              "-keyout", "/etc/drawbridge/tls/sbc.key", "-out", "/etc/drawbridge/tls/sbc.pem", must=True)
        with open("/etc/drawbridge/sinch.secret", "w", encoding="utf-8") as file:
            file.write("another password")
        self.network()
        self.start()

    def network(self):
        quiet("ip", "link", "set", "lo", "up")
        for address in ADDRESSES:
            quiet("ip", "address", "add", address, "dev", "lo")
        if os.path.islink("/etc/resolv.conf") or os.path.exists("/etc/resolv.conf"):
            quiet("umount", "/etc/resolv.conf", must=False)
            os.remove("/etc/resolv.conf")
        with open("/etc/resolv.conf", "w", encoding="utf-8") as file:
            file.write("nameserver 127.0.0.1\n")
        serve_names()
        self.pbx, self.carrier = Agent(PBX, False), Agent(CARRIER, True)
        self.pbx.start()
        self.carrier.start()
        # Without it the kernel would say that nobody is there.
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind((SILENT, 5060))

    def start(self):
        """As systemd would."""
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(SECONDS)
        with open("/var/log/daemon.log", "a", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(["drawbridge", "run"], stdout=log, stderr=log)
        until = time.monotonic() + SECONDS
        while subprocess.run(["drawbridge", "status"], check=False, capture_output=True).returncode:
            if time.monotonic() > until or self.daemon.poll() is not None:
                raise AssertionError("the daemon does not start:\n" + open("/var/log/daemon.log", encoding="utf-8").read())
            time.sleep(0.1)

    def close(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(SECONDS)
        quiet("umount", "-l", "/etc", must=False)
        shutil.rmtree(self.directory, ignore_errors=True)


def quiet(*command, must=True):
    subprocess.run(command, check=must, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def script(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def play(block, stage, show):
    """Does what a block says; gives what is not true."""
    if block.kind in ("appliance", "shown"):
        if block.kind == "shown" and len(block.mark.split()) < 3:
            return ["why is it only shown?"]
        return []
    if block.kind == "call":
        _, caller, called = block.mark.split()
        stage.pbx.call(caller, called, "10.0.0.5")
        return []
    if block.kind == "dns":
        _, name, *addresses = block.mark.split()
        NAMES[name] = addresses
        return []
    if block.kind in ("file", "append", "tables"):
        path = block.mark.split()[1]
        text = block.text
        if block.kind != "file":
            with open(path, encoding="utf-8") as file:
                before = file.read()
            text = with_tables(before, text) if block.kind == "tables" else before + "\n" + text
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return []
    if block.kind not in ("here", "console", "prints"):
        return ["what is to be done with it? See the head of tests/newcomer.py"]
    faults = []
    for command, shown in block.commands():
        if command.startswith("sudo systemctl restart drawbridge"):
            stage.start()
            continue
        typed = PASSWORD if "/dev/stdin" in command else None
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, input=typed or "", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
        if show:
            print(f"--- {block.place} $ {command}\n{done.stdout}", end="")
        printed = done.stdout.splitlines()
        if block.kind == "prints":
            shown, printed = (sorted(map(plain, lines)) for lines in (shown, printed))
        fault = differs(shown, printed) if shown is not None else ""
        if fault:
            faults.append(f"$ {command}\n      {fault}")
        elif done.returncode and shown is None:
            faults.append(f"$ {command}\n      exits with {done.returncode}: {done.stdout}")
    return faults


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if "DRAWBRIDGE" not in os.environ:
        os.environ["DRAWBRIDGE"] = os.path.join(ROOT, "target", "debug", "drawbridge")
    if INSIDE not in os.environ:
        failed = [page for page in arguments or PAGES if inside(page)]
        sys.exit(1 if failed else 0)
    [page] = arguments
    stage = Stage()
    followed, bad = 0, 0
    try:
        for block in blocks(page):
            try:
                faults = play(block, stage, "--show" in sys.argv)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                faults = [str(error)]
            followed += block.kind not in ("appliance", "shown")
            bad += len(faults)
            for fault in faults:
                print(f"{block.place}: {fault}")
    finally:
        stage.close()
    print(f"{page}: {followed} blocks followed, {bad} are not true")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
