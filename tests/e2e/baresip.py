"""A softphone that has nothing in common with sipp: baresip, with real audio and a jitter buffer."""

import glob
import math
import os
import struct
import wave

TLS_CONFIG = """\
sip_certificate {certificate}
sip_cafile {authority}
"""

CONFIG = """\
sip_listen {address}:5060
audio_player aubridge,unused
audio_source aufile,{directory}/said.wav
audio_alert aubridge,unused
audio_buffer 20-160
rtp_ports 30000-30100
rtcp_mux no
jitter_buffer_delay 5-10
snd_path {directory}
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module account.so
module menu.so
"""


class Baresip:
    """One phone; what it hears is in `heard()` when the call is over."""

    def __init__(self, host, address, directory, *, user, tone=None, recording=None, dial=None, seconds=8, authority=None):
        """Plays `tone` hertz, or the samples of a `recording`. Answers every call, or calls the SIP URI `dial`; ends after `seconds`.

        With an authority it speaks TLS, beside UDP."""
        self.directory = os.path.join(directory, f"baresip-{user}")
        os.makedirs(self.directory)
        modules = next(iter(glob.glob("/usr/lib/baresip/modules") +
                            glob.glob("/usr/lib/*/baresip/modules")))
        config = CONFIG.format(address=address, directory=self.directory, modules=modules)
        self._write("config", config + (self._tls(authority, host, address) if authority else ""))
        write_wave(os.path.join(self.directory, "said.wav"), recording or sine(tone, seconds))
        transport = ";transport=tls" if authority else ""
        self._write("accounts", f"<sip:{user}@{address}{transport}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1\n")
        self._write("contacts", "")
        command = ["baresip", "-f", self.directory, "-t", str(seconds)]
        if dial:
            command += ["-e", f"/dial {dial}"]
        self.log = os.path.join(self.directory, "log")
        with open(self.log, "wb") as log:
            self.process = host.start(command, log=log)

    def _tls(self, authority, host, address):
        certificate, key = authority.issue(f"baresip-{host.name}", f"IP:{address}")
        both = ""
        for path in (certificate, key):
            with open(path, encoding="ascii") as file:
                both += file.read()
        self._write("certificate.pem", both)
        return TLS_CONFIG.format(certificate=os.path.join(self.directory, "certificate.pem"),
                                 authority=authority.certificate)

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
            file.write(text)

    def heard(self):
        """The wave file of what was received and decoded."""
        files = glob.glob(os.path.join(self.directory, "dump-*-dec.wav"))
        assert files, f"baresip received no audio\n{self.report()}"
        return files[0]

    def report(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(line for line in log if "(bit/s)" not in line)[-3000:]


def sine(hertz, seconds, rate=8000, amplitude=12000):
    """A tone's samples."""
    return [round(amplitude * math.sin(2 * math.pi * hertz * n / rate)) for n in range(rate * seconds)]


def write_wave(path, samples, rate=8000):
    """16 bits mono."""
    with wave.open(path, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(struct.pack(f"<{len(samples)}h", *samples))
