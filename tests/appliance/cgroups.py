"""Control groups for one machine. Two that share theirs would each find the other's processes in its services."""

import contextlib
import os

ROOT = "/sys/fs/cgroup"


class Groups:
    """A group below this process's own in each hierarchy that systemd keeps its services in."""

    def __init__(self, name):
        self.directories = []
        with open("/proc/self/cgroup", encoding="ascii") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
        for number, controllers, path in lines:
            if number == "0":
                places = [os.path.join(ROOT, "unified"), ROOT]
            elif controllers == "name=systemd":
                places = [os.path.join(ROOT, "systemd")]
            else:
                continue
            mounted = next((place for place in places if os.path.exists(f"{place}/cgroup.procs")), None)
            if mounted:
                directory = os.path.join(mounted, path.lstrip("/"), name)
                os.makedirs(directory, exist_ok=True)
                self.directories.append(directory)

    def enter(self):
        """Moves the calling process there."""
        for directory in self.directories:
            with open(os.path.join(directory, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

    def remove(self):
        """When no process is left in them."""
        for top in self.directories:
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
