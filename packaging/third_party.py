#!/usr/bin/env python3
"""Prints which crates are linked into the program, and the licences under which they are.

usage: third_party.py TARGET     the triple that is built for

What `cargo metadata` says, and the notices that each crate brings. The Apache licence, which many
offer beside another, is in every Debian system and is not repeated.
"""

import collections
import json
import os
import subprocess
import sys

APACHE = "Apache License"
NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def main(target):
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target],
        check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    crates = sorted((packages[one] for one in linked(metadata["resolve"])), key=lambda p: (p["name"], p["version"]))
    print("Drawbridge contains these crates of https://crates.io:\n")
    for crate in crates:
        print(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its notice'}")
    owners = collections.defaultdict(list)
    for crate in crates:
        for text in notices(os.path.dirname(crate["manifest_path"])):
            owners[text].append(crate["name"])
    for text, names in sorted(owners.items(), key=lambda item: item[1]):
        print(f"\n{'=' * 80}\n{', '.join(names)}\n{'=' * 80}\n\n{text}")


def linked(resolve):
    """The packages that the program is linked from, without itself."""
    nodes = {node["id"]: node for node in resolve["nodes"]}
    seen, open_ends = set(), [resolve["root"]]
    while open_ends:
        for edge in nodes[open_ends.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in edge["dep_kinds"])
            if is_linked and edge["pkg"] not in seen:
                seen.add(edge["pkg"])
                open_ends.append(edge["pkg"])
    return seen


def notices(directory):
    """The licence texts of a crate other than Apache's."""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.upper().startswith(NAMES) and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read().strip()
            if APACHE not in text[:300]:
                yield text


if __name__ == "__main__":
    main(sys.argv[1])
