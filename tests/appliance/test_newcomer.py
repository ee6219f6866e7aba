"""Those lines of README and quick start that want a machine with systemd, to the letter; the others run in tests/newcomer.py."""

import os
import sys

from appliance import PACKAGE, ApplianceCase

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import newcomer  # noqa: E402


class Newcomer(ApplianceCase):
    """A machine to which the package was copied, and nothing else."""

    def prepare(self):
        self.machine.put(PACKAGE, "/root/drawbridge_0.1.0-1_amd64.deb")

    def test_what_wants_a_machine_is_true(self):
        lines = [line for page in newcomer.PAGES for block in newcomer.blocks(page) if block.kind == "appliance"
                 for line, _ in block.commands()]
        self.assertTrue(lines, "a page has lines for a machine")
        for line in lines:
            # The image has root alone, and so no sudo.
            self.machine.shell(f'sudo() {{ "$@"; }}; cd /root; {line}', stdin="y\n")
        self.assertTrue(self.is_active())
        self.assertIn("is serving", self.machine.run("drawbridge", "status").stdout)
