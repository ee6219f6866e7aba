"""A Debian that was booted: systemd in namespaces of its own, with the network of one of the lab's hosts.

What it changes is in memory. It has no way to the Internet.
"""

import contextlib
import os
import signal
import subprocess

import lab

BOOT_SECONDS = 30
# Where nspawn keeps what it needs while a machine runs.
RUNTIME = "/run/systemd/nspawn"
# Of users of the system, Debian's and ours.
FIRST_UID, UIDS = 200, 700
# nspawn refuses these to its machines, which no real one does.
IO_URING = "io_uring_setup io_uring_enter io_uring_register"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": ""}


class Failed(AssertionError):
    """A command that ended with another status than 0."""


class Machine:
    """One machine; `image` stays as it is."""

    def __init__(self, image, namespace, directory):
        """`namespace`: a descriptor of the network. Mounts below `directory`."""
        self.console = os.path.join(directory, "console.log")
        # A name of its own, and no trace of it on this machine.
        name = f"appliance-{os.getpid()}"
        os.makedirs(RUNTIME, exist_ok=True)
        mount("-t", "tmpfs", name, RUNTIME)
        memory = os.path.join(directory, "memory")
        os.mkdir(memory)
        mount("-t", "tmpfs", "machine", memory)
        upper, work, self.root = (os.path.join(memory, name) for name in ("upper", "work", "root"))
        for path in (upper, work, self.root):
            os.mkdir(path)
        self._differ(upper, image)
        mount("-t", "overlay", "machine", "-o", f"lowerdir={image},upperdir={upper},workdir={work}", self.root)
        self._mounts = [self.root, memory, RUNTIME]
        with open(self.console, "wb") as console:
            # Not as a unit of this machine's systemd, which it may not have.
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--directory", self.root, f"--machine={name}", "--keep-unit", "--register=no",
                 "--console=pipe", f"--system-call-filter={IO_URING}",
                 f"--network-namespace-path=/proc/{os.getpid()}/fd/{namespace}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        self.leader = None
        lab.wait_until("the machine boots", self._is_up, BOOT_SECONDS)

    @staticmethod
    def _differ(upper, image):
        """The kernel counts locked memory by user, over all machines that run here: each has users of its own."""
        os.mkdir(os.path.join(upper, "etc"))
        with open(os.path.join(image, "etc/adduser.conf"), encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(upper, "etc/adduser.conf"), "w", encoding="utf-8") as file:
            file.write(f"{text}\nFIRST_SYSTEM_UID={FIRST_UID + os.getpid() % UIDS}\n")

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with status {self.process.returncode}:\n{self.console_tail()}")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if not children:
            return False
        self.leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def start(self, *command, **options):
        """Starts a command in the machine, as root."""
        return subprocess.Popen(["nsenter", f"--target={self.leader}", "--all", *command], env=ENVIRONMENT,
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                **{"stdin": subprocess.DEVNULL, **options})

    def run(self, *command, check=True, stdin="", seconds=60):
        """Runs a command in the machine, as root; what it says on both of its streams is one text."""
        process = self.start(*command, stdin=subprocess.PIPE)
        try:
            said, _ = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise Failed(f"{' '.join(command)}: not done after {seconds} s\n{said}") from None
        if check and process.returncode:
            raise Failed(f"{' '.join(command)}: status {process.returncode}\n{said}")
        return subprocess.CompletedProcess(command, process.returncode, said)

    def shell(self, script, **options):
        """Runs lines of shell; gives what they say."""
        return self.run("sh", "-euc", script, **options).stdout

    def write(self, path, text, group="root", mode="640"):
        """Puts a file where it belongs, as an operator would: whole, and with its rights."""
        self.run("install", "-D", "-m", mode, "-g", group, "/dev/stdin", f"{path}.new", stdin=text)
        self.run("mv", f"{path}.new", path)

    def read(self, path):
        return self.run("cat", path).stdout

    def put(self, source, path):
        """Copies a file of this machine into that one."""
        with open(source, "rb") as file:
            process = self.start("sh", "-c", f"cat > {path}", stdin=file)
            if process.wait():
                raise Failed(process.stdout.read())
            process.stdout.close()

    def console_tail(self, lines=30):
        with open(self.console, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def close(self):
        """Switches it off; nothing of it stays."""
        if self.leader is not None:
            # All of its processes die with the first.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for path in self._mounts:
            subprocess.run(["umount", "--lazy", path], check=True)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)
