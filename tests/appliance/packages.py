"""Other versions of the package under test."""

import os
import re
import shutil
import subprocess


def version_of(package):
    return subprocess.run(["dpkg-deb", "--field", package, "Version"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def derive(package, version, directory, appended=()):
    """The same package as another version; `appended`: text at the end of which of its files. Gives its path."""
    tree = os.path.join(directory, f"tree-{version}")
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    for path, text in dict(appended).items():
        with open(os.path.join(tree, path), "a", encoding="utf-8") as file:
            file.write(text)
    edit(os.path.join(tree, "DEBIAN/control"), r"(?m)^Version: .*$", f"Version: {version}")
    made = os.path.join(directory, f"drawbridge_{version}.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return made


def edit(path, pattern, replacement):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(pattern, replacement, text))
