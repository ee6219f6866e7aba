"""What every end-to-end test starts from: a lab, an SBC in it, and a look at what is left behind."""

import os
import shutil
import tempfile
import unittest

import lab
import media
import scenarios
import sipp
import tls
from sbc import Sbc

PBX_DIALS = "+12025550123"
CARRIER_DIALS = "+14155550100"


class LabCase(unittest.TestCase):
    """Each test has a network and a daemon of its own."""

    # Whether nothing else may run beside its tests.
    alone = False
    # Trunks that the PBX's calls take, in order.
    out = ("carrier-a", "carrier-b")
    # How long a silent target is waited for.
    failover_seconds = 1
    # How each side speaks SIP.
    trusted = "udp"
    untrusted = "udp"
    # Whether the untrusted side has IPv6, too.
    has_ipv6 = False

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="drawbridge-e2e-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.lab = lab.Lab()
        self.addCleanup(self.lab.close)
        self.authority = tls.Authority(os.path.join(self.directory, "tls"))
        self.sbc = Sbc(self.lab, self.directory, self.out, self.failover_seconds,
                       {"trusted": self.trusted, "untrusted": self.untrusted}, self.authority,
                       self.has_ipv6)
        if self.has_ipv6:
            self.lab.sbc.add_address(f"{lab.SBC_UNTRUSTED_V6}/64", "eth1")
            self.lab.carrier_a.add_address(f"{lab.CARRIER_A_V6}/64", "eth0")
        self.prepare()
        self.sbc.start()

    def prepare(self):
        """What a test changes before the SBC starts."""

    def diagnosis(self):
        if not hasattr(self, "sbc"):
            return ""
        return f"\n--- dropped\n{self.sbc.drops()}\n--- the SBC's log\n{self.sbc.log_tail()}---\n"

    # ------------------------------------------------------------------------------ user agents

    def pbx(self, script, **options):
        """A caller (given `remote`) or callee on the PBX."""
        return self._sipp(self.lab.pbx, lab.PBX, sipp.INNER, script, self.trusted, options)

    def carrier_a(self, script, **options):
        return self._sipp(self.lab.carrier_a, lab.CARRIER_A, sipp.OUTER, script, self.untrusted, options)

    def carrier_b(self, script, **options):
        return self._sipp(self.lab.carrier_b, lab.CARRIER_B, sipp.OUTER, script, self.untrusted, options)

    def _sipp(self, host, address, side, script, transport, options):
        started = sipp.Sipp(host, address, side, script, self.directory,
                            **{"transport": transport, "authority": self.authority, **options})
        self.addCleanup(started.close)
        return started

    def pbx_calls(self, script=None, **options):
        return self.pbx(script or scenarios.call(), remote=lab.SBC_TRUSTED, number=PBX_DIALS, **options)

    def carrier_calls(self, script=None, **options):
        return self.carrier_a(script or scenarios.call(), remote=lab.SBC_UNTRUSTED, number=CARRIER_DIALS,
                              **options)

    def sink(self, host, address, source, octet, calls):
        """Receives the audio of `calls` calls on a host, all of which must be the SBC's and the other side's."""
        sink = media.MediaSink(host, address, sipp.FIRST_MEDIA_PORT, sipp.MEDIA_PORT_STEP, calls,
                               source=source, octet=octet)
        self.addCleanup(sink.close)
        return sink

    def sinks(self, calls):
        """Receivers at the PBX and at carrier-a."""
        return (self.sink(self.lab.pbx, lab.PBX, lab.SBC_TRUSTED, sipp.OUTER.octet, calls),
                self.sink(self.lab.carrier_a, lab.CARRIER_A, lab.SBC_UNTRUSTED, sipp.INNER.octet, calls))

    # ----------------------------------------------------------------------------- expectations

    def expect_audio(self, sink, where, calls, share=0.98):
        """Every call brought audio; of all packets at least `share` came, none of them wrong."""
        self.assertEqual(dict(sink.wrong_sources), {}, f"{where}: RTP that does not come from the SBC")
        self.assertEqual(sink.wrong_payloads, 0, f"{where}: RTP that is not what the other side sent")
        self.assertEqual(len(sink.packets), calls, f"{where}: calls in which audio arrived")
        least = calls * sipp.PACKETS_PER_CALL * share
        self.assertGreaterEqual(sum(sink.packets.values()), least, f"{where}: packets of audio")

    def expect_cdrs(self, count):
        """That many calls are recorded, not one more; gives their records."""
        lab.wait_until(f"{count} lines in the CDR", lambda: len(self.sbc.cdrs()) >= count)
        records = self.sbc.cdrs()
        self.assertEqual(len(records), count, "lines in the CDR")
        self.assertEqual(len({record["id"] for record in records}), count, "each call has an id of its own")
        return records

    def expect_nothing_left(self):
        """No call and no media port is held, and no packet of SIP was called malformed."""
        lab.wait_until("no call is active", lambda: self.sbc.metric("drawbridge_calls_active") == 0)
        lab.wait_until("all media ports are free",
                       lambda: self.sbc.metric("drawbridge_media_ports_in_use", must_exist=True) == 0)
        self.assertEqual(self.sbc.metric("drawbridge_sip_dropped_total", reason="malformed"), 0)
        self.assertEqual(self.sbc.stop(), 0, "exit status after SIGTERM")
