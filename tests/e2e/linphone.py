"""A second softphone, of another family: linphone, with audio from files and into files.

It opens TLS connections and takes none ("New connection arriving on TLS, not handled"): it can call by
TLS, and be called by TCP. It checks who signed a certificate, and not for whom: it looks for names in
one, never for addresses. Without a route to everywhere it takes itself for 127.0.0.1, and says so in
its SDP.
"""

import os
import subprocess

from baresip import sine, write_wave

CONFIG = """\
[sip]
sip_port=0
sip_tcp_port=5060
sip_tls_port=-1
contact="{user}" <sip:{user}@{address}>
root_ca={authority}
verify_server_certs=1
verify_server_cn=0
auto_net_state_mon=0
guess_hostname=0
media_encryption=none
[rtp]
audio_rtp_port=30200
[sound]
ec=0
"""


class Linphone:
    """One phone; what it hears is in `heard()` when the call is over."""

    def __init__(self, host, address, directory, *, user, tone, authority, seconds=20):
        """Plays `tone` hertz for `seconds`. Answers every call; whom it calls by TLS the authority vouches for."""
        self.directory = os.path.join(directory, f"linphone-{user}")
        # It begins nothing where it cannot keep its history.
        os.makedirs(os.path.join(self.directory, ".local/share/linphone"))
        config = os.path.join(self.directory, "linphonerc")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(user=user, address=address, authority=authority.certificate))
        tone_file = os.path.join(self.directory, "tone.wav")
        write_wave(tone_file, sine(tone, seconds))
        self._heard = os.path.join(self.directory, "heard.wav")
        self.log = os.path.join(self.directory, "log")
        self._sip_log = os.path.join(self.directory, "log.sip")
        with open(self.log, "wb") as log:
            self.process = host.start(
                ["linphonec", "-a", "-c", config, "-d", "6", "-l", self._sip_log], log=log,
                stdin=subprocess.PIPE, env={**os.environ, "HOME": self.directory})
        self.say("soundcard use files")
        self.say(f"play {tone_file}")
        self.say(f"record {self._heard}")

    def say(self, command):
        """Types a command."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def listens(self):
        """Whether it may be called."""
        if not os.path.exists(self._sip_log):
            return False
        with open(self._sip_log, encoding="utf-8", errors="replace") as log:
            return ":5060;transport=TCP" in log.read()

    def close(self):
        """Ends the phone, and with it the call."""
        if self.process.stdin.closed:
            return
        if self.process.poll() is None:
            self.say("quit")
            self.process.wait(10)
        self.process.stdin.close()

    def heard(self):
        """The wave file of what was received and decoded."""
        assert os.path.exists(self._heard), f"linphone received no audio\n{self.report()}"
        return self._heard

    def report(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-3000:]
