"""The package: what it brings, what it keeps, and that it leaves nothing behind."""

import glob
import os
import re

import image
import io_uring
import lab
import machine
import packages
import scenarios
from appliance import MAIN, PACKAGE, TRUNKS, ApplianceCase

# What dpkg, apt and systemd write down of whatever happens.
NOTES = re.compile(r"^/(var/(log|cache|lib/(dpkg|apt|systemd|logrotate))|run|proc|sys|dev|tmp|root|etc/(passwd|shadow|group|gshadow)-)(/|$)")
OLDER, NEWER = "0.0.9-1", "99.0.0-1"
MARK = "# A comment of the newer version.\n"


class Install(ApplianceCase):
    """A machine on which it was just installed."""

    def prepare(self):
        self.before = self.files()
        self.install()

    def files(self):
        return {path for path in self.machine.shell("find / -xdev").splitlines() if not NOTES.match(path)}

    def test_it_serves_at_once_and_lets_nobody_in(self):
        self.assertTrue(self.is_active())
        self.assertEqual(self.machine.run("systemctl", "is-enabled", "drawbridge").stdout.strip(), "enabled")
        self.assertEqual(self.get("/readyz")[0], 200)
        self.machine.run("drawbridge", "check")
        self.assertEqual(self.machine.run("ps", "-o", "user=", "-p", str(self.main_pid())).stdout.strip(), "drawbridge")
        for line in self.machine.shell("ss --no-header --numeric --listening --tcp --udp").splitlines():
            self.assertRegex(line.split()[4], r"^127\.0\.0\.", "it listens on loopback alone")
        said = self.machine.shell("drawbridge explain --realm trusted --source 10.0.0.10 --from 1001 --to +15550100 || true")
        self.assertIn("would get no answer", said)

    def test_it_has_few_rights_and_io_uring(self):
        said = self.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=20", "drawbridge", check=False)
        self.assertEqual(said.returncode, 0, said.stdout)
        print(said.stdout.strip().splitlines()[-1].encode("ascii", "ignore").decode().strip(), end=" ... ")
        # The machine has the pages, but nothing to read them with.
        verified = self.machine.run("systemd-analyze", "verify", "--man=no", "drawbridge.service")
        self.assertEqual(verified.stdout, "")
        if io_uring.is_allowed():
            self.assertEqual(self.metric("drawbridge_build_info", engine="io_uring"), 1)
        else:
            print("this machine has no io_uring, so the one inside has none", end=" ... ")

    def test_secrets_are_the_daemons_and_roots(self):
        for path, wanted in ((os.path.dirname(MAIN), "750 root:drawbridge"), (TRUNKS, "750 root:drawbridge"),
                             (MAIN, "640 root:drawbridge"), (f"{TRUNKS}/example.toml.sample", "640 root:drawbridge"),
                             ("/var/log/drawbridge", "750 drawbridge:drawbridge"),
                             ("/run/drawbridge/admin.sock", "660 drawbridge:drawbridge")):
            self.assertEqual(self.machine.run("stat", "-c", "%a %U:%G", path).stdout.strip(), wanted, path)

    def test_documents_completions_and_rotation_are_in_place(self):
        brought = self.machine.run("dpkg", "--listfiles", "drawbridge").stdout.splitlines()
        for path in ("/usr/share/man/man1/drawbridge.1.gz", "/usr/share/man/man1/drawbridge-trunk-test.1.gz",
                     "/usr/share/man/man5/drawbridge.toml.5.gz", "/usr/share/zsh/vendor-completions/_drawbridge",
                     "/usr/share/fish/vendor_completions.d/drawbridge.fish", "/usr/share/doc/drawbridge/copyright",
                     "/usr/share/doc/drawbridge/changelog.gz", "/usr/share/doc/drawbridge/README.md",
                     "/usr/share/drawbridge/profiles/plain.toml"):
            self.assertIn(path, brought)
        for directory in ("prometheus", "grafana"):
            for name in glob.glob(os.path.join(image.ROOT, "packaging", directory, "*.*")):
                self.assertIn(f"/usr/share/drawbridge/{directory}/{os.path.basename(name)}", brought)
        self.machine.run("bash", "-c", ". /usr/share/bash-completion/completions/drawbridge && complete -p drawbridge")
        self.configure()
        self.call()
        lab.wait_until("the call is recorded", self.cdrs)
        self.machine.run("logrotate", "--force", "/etc/logrotate.d/drawbridge")
        self.call()
        lab.wait_until("the next call is recorded in a new file", self.cdrs)
        self.assertEqual(len(self.cdrs("/var/log/drawbridge/cdr.jsonl.1")), 1)

    def test_removed_it_keeps_what_an_operator_wrote(self):
        self.configure()
        self.machine.run("apt-get", "remove", "--yes", "drawbridge")
        self.assertFalse(self.is_active())
        self.assertIn("[trunk.carrier]", self.machine.read(f"{TRUNKS}/carrier.toml"))
        self.install()
        lab.wait_until("it serves again", self.is_active)
        self.call()

    def test_purged_it_leaves_nothing(self):
        self.configure()
        self.call()
        self.machine.run("apt-get", "purge", "--yes", "drawbridge")
        self.assertEqual(self.files() - self.before, set())
        self.assertEqual(self.before - self.files(), set())
        # Of notes, dpkg's log and journald's may name it.
        left = self.machine.shell("find / -xdev -iname '*drawbridge*' -not -path '/proc/*' -not -path '/root/*'")
        self.assertEqual(left, "")
        for database in ("passwd", "group"):
            self.assertNotEqual(self.machine.run("getent", database, "drawbridge", check=False).returncode, 0, database)
        self.assertNotIn("drawbridge", self.machine.run("systemctl", "list-units", "--all", "--no-pager").stdout)
        self.assertNotIn("drawbridge", self.machine.run("systemctl", "list-unit-files", "--no-pager").stdout)


class Boot(ApplianceCase):
    """A machine that is switched off and on again."""

    def test_it_serves_when_the_machine_is_up(self):
        self.install()
        self.configure()
        self.machine.restart()
        self.assertTrue(self.is_active())
        self.call()


class InUse(ApplianceCase):
    """A machine with an older version that carries calls."""

    def prepare(self):
        self.older = packages.derive(PACKAGE, OLDER, self.directory)
        self.newer = packages.derive(PACKAGE, NEWER, self.directory, {"etc/drawbridge/drawbridge.toml": MARK})
        self.install(self.older)
        self.configure()


class Upgrade(InUse):
    def version(self):
        return self.machine.run("dpkg-query", "--show", "--showformat=${Version}", "drawbridge").stdout

    def test_what_an_operator_wrote_stays_over_upgrade_and_downgrade(self):
        own = self.machine.read(MAIN)
        first = self.main_pid()
        # dpkg asks which of the two configurations it shall be: its default is the operator's.
        self.install(self.newer)
        self.assertEqual(self.version(), NEWER)
        lab.wait_until("the newer one serves", lambda: self.is_active() and self.get("/readyz")[0] == 200)
        self.assertNotEqual(self.main_pid(), first)
        self.assertEqual(self.machine.read(MAIN), own)
        self.assertTrue(self.machine.read(f"{MAIN}.dpkg-dist").endswith(MARK))
        self.call()
        self.install(self.older, "--allow-downgrades")
        self.assertEqual(self.version(), OLDER)
        lab.wait_until("the older one serves", lambda: self.is_active() and self.get("/readyz")[0] == 200)
        self.assertEqual(self.machine.read(MAIN), own)
        self.assertEqual(self.machine.run("stat", "-c", "%a %U:%G", MAIN).stdout.strip(), "640 root:drawbridge")
        self.assertIn("[trunk.carrier]", self.machine.read(f"{TRUNKS}/carrier.toml"))
        self.call()
        self.machine.run("apt-get", "purge", "--yes", "drawbridge")
        self.assertEqual(self.machine.shell("find /etc /usr /var/lib /var/log -xdev -iname '*drawbridge*'"), "")

    def test_a_first_configuration_that_nobody_touched_is_renewed(self):
        self.machine.run("apt-get", "purge", "--yes", "drawbridge")
        self.install(self.older)
        self.install(self.newer)
        self.assertTrue(self.machine.read(MAIN).endswith(MARK))
        self.assertEqual(self.machine.run("stat", "-c", "%a %U:%G", MAIN).stdout.strip(), "640 root:drawbridge")
        self.assertTrue(self.is_active())

    def test_while_the_configuration_is_refused_the_older_one_goes_on(self):
        first = self.main_pid()
        good = self.machine.read(f"{TRUNKS}/carrier.toml")
        self.add_trunk("carrier", good.replace("port = 5060", "port = 99999"))
        self.assertRaisesRegex(machine.Failed, r"(?s)99999.*goes on serving", self.install, self.newer)
        self.assertEqual(self.main_pid(), first)
        self.call()
        self.add_trunk("carrier", good)
        self.machine.run("dpkg", "--configure", "drawbridge", stdin="\n")
        lab.wait_until("the newer one serves", lambda: self.is_active() and self.main_pid() not in (0, first))
        self.call()


class UpgradeElsewhere(InUse):
    """A machine whose operator keeps the configuration in another place, and says so in a drop-in."""

    def test_the_configuration_that_the_unit_names_is_checked_and_no_other(self):
        for words in ("--config /etc/sbc/drawbridge.toml", "--config=/etc/sbc/drawbridge.toml", "-c/etc/sbc/drawbridge.toml",
                      '"--config" "/etc/own sbc/drawbridge.toml"'):
            self.run_with(words)
            directory = words[words.index("/etc/"):words.rindex("/")]
            said = self.machine.shell(". /usr/share/drawbridge/unit-configuration.sh && unit_configuration").strip()
            self.assertEqual(said, f"{directory}/drawbridge.toml", words)
        self.run_with("--config ${ELSEWHERE}")
        said = self.machine.shell(". /usr/share/drawbridge/unit-configuration.sh && unit_configuration || echo unknown").strip()
        self.assertEqual(said, "unknown")

        self.machine.shell("cp -a /etc/drawbridge /etc/sbc")
        self.run_with("--config /etc/sbc/drawbridge.toml")
        self.machine.run("systemctl", "restart", "drawbridge")
        first = self.main_pid()
        good = self.machine.read(f"{TRUNKS}/carrier.toml")
        bad = good.replace("port = 5060", "port = 99999")
        self.machine.write("/etc/sbc/trunks.d/carrier.toml", bad, group="drawbridge")
        self.assertRaisesRegex(machine.Failed, r"(?s)/etc/sbc/trunks.d/carrier.toml.*99999.*goes on serving", self.install, self.newer)
        self.assertEqual(self.main_pid(), first)
        # A fault where nobody looks hinders nothing.
        self.machine.write("/etc/sbc/trunks.d/carrier.toml", good, group="drawbridge")
        self.add_trunk("carrier", bad)
        self.machine.run("dpkg", "--configure", "drawbridge", stdin="\n")
        lab.wait_until("the newer one serves", lambda: self.is_active() and self.main_pid() not in (0, first))
        self.call()

    def run_with(self, words):
        self.machine.run("mkdir", "-p", "/etc/systemd/system/drawbridge.service.d")
        self.machine.write("/etc/systemd/system/drawbridge.service.d/own.conf",
                           f"[Service]\nExecStart=\nExecStart=/usr/bin/drawbridge run {words}\n", mode="644")
        self.machine.run("systemctl", "daemon-reload")


class UpgradeInCall(InUse):
    def test_it_drains_first_if_told_so(self):
        self.machine.run("sed", "-i", "s/^DRAIN_BEFORE_UPGRADE=.*/DRAIN_BEFORE_UPGRADE=30/", "/etc/default/drawbridge")
        caller, callee = self.call_in_progress(pause_ms=6000)
        said = self.install(self.newer)
        self.assertIn("1 call left", said)
        caller.must_succeed()
        callee.must_succeed()
        self.assertEqual([record["ended_by"] for record in self.cdrs()], ["caller"])
        self.assertEqual(self.status()["state"], "serving")
        self.call()

    def test_else_it_ends_calls_with_bye(self):
        caller, callee = self.call_in_progress(script=scenarios.call_until_bye())
        self.install(self.newer)
        caller.must_succeed()
        callee.must_succeed()
        self.assertEqual([record["ended_by"] for record in self.cdrs()], ["sbc"])
