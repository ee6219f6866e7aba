"""A fresh Debian with systemd, as a directory, made once and kept under target/appliance."""

import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(ROOT, "target", "appliance")
# What the package depends on and recommends, for the machine is not on the Internet, and what a machine has to boot.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "adduser", "procps", "ca-certificates", "logrotate", "iproute2")
DEFAULT_MIRROR = "http://deb.debian.org/debian"


def directory(suite):
    """Where the image of this suite is; makes it if it is not."""
    path = os.path.join(CACHE, suite)
    # Another set of packages is another image.
    note = os.path.join(CACHE, f"{suite}.packages")
    wanted = " ".join(PACKAGES)
    if os.path.isdir(path) and read(note) == wanted:
        return path
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(f"{path}.new", ignore_errors=True)
    os.makedirs(CACHE, exist_ok=True)
    print(f"making an image of Debian {suite} (once)", flush=True)
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite,
                    f"{path}.new", mirror()], check=True, stdin=subprocess.DEVNULL)
    # Each machine has a name of its own from systemd.
    for name in ("etc/hostname", "etc/machine-id"):
        with open(os.path.join(f"{path}.new", name), "w", encoding="ascii") as file:
            file.write("appliance\n" if name == "etc/hostname" else "")
    os.rename(f"{path}.new", path)
    with open(note, "w", encoding="ascii") as file:
        file.write(wanted)
    return path


def mirror():
    """The archive that this machine's own apt uses."""
    sources = ["/etc/apt/sources.list"]
    parts = "/etc/apt/sources.list.d"
    sources += [os.path.join(parts, name) for name in sorted(os.listdir(parts))] if os.path.isdir(parts) else []
    for path in sources:
        for line in read(path).splitlines():
            # One line of the old form, or of deb822. An archive of Debian ends so; its security updates' does not.
            match = re.match(r"(?:deb\s+(?:\[.*\]\s+)?|URIs:\s*)(\S+/debian)/?(?:\s|$)", line)
            if match:
                return match[1]
    return DEFAULT_MIRROR


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
