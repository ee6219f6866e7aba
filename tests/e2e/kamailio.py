"""Kamailio as a carrier: a registrar, and a proxy that asks for credentials."""

import os

import lab

DOMAIN = "carrier.example"
USER = "line1"
PASSWORD = "correct horse"
# Calls of the line go here.
PHONE = lab.STRANGER

CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=1
auto_aliases=no
disable_core_dump=yes
alias="{domain}"
listen=udp:{address}:5060
listen=tcp:{address}:5060
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "nonce_expire", {nonce_expire})
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "secret", "of the lab")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", {max_expires})
modparam("registrar", "min_expires", {min_expires})

route[CHALLENGE] {{
    # -4: the nonce is too old, or its count was used before.
    $var(flags) = 1;
    if ($var(why) == -4 || $var(why) == -6) {{ $var(flags) = 17; }}
    xlog("L_NOTICE", "lab: challenge $rm $var(why)\\n");
    if (is_method("REGISTER")) {{
        www_challenge("{domain}", "$var(flags)");
    }} else {{
        proxy_challenge("{domain}", "$var(flags)");
    }}
    exit;
}}

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{domain}", "{password}", "0")) {{ $var(why) = $rc; route(CHALLENGE); }}
        xlog("L_NOTICE", "lab: register $hdr(Contact) $hdr(Expires)\\n");
        save("location");
        exit;
    }}
    # The phone is trusted by its address; all others say who they are, also within a dialog.
    if ($si != "{phone}" && !is_method("ACK")) {{
        if (!pv_proxy_authenticate("{domain}", "{password}", "0")) {{ $var(why) = $rc; route(CHALLENGE); }}
        xlog("L_NOTICE", "lab: authorized $rm $adn nc=$hdr(Proxy-Authorization)\\n");
        consume_credentials();
    }}
    if (has_totag()) {{
        if (loose_route()) t_relay();
        else if (is_method("ACK") && t_check_trans()) t_relay();
        else if (!is_method("ACK")) sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("INVITE")) record_route();
    if ($si == "{phone}") {{
        # Every number of the line is at the line's Contact.
        $ru = "sip:{user}@{domain}";
        if (!lookup("location")) {{ sl_send_reply("404", "Nobody Is Registered"); exit; }}
    }} else {{
        $du = "sip:{phone}:5060;transport=udp";
    }}
    t_relay();
}}
"""


class Kamailio:
    """One running Kamailio on a host of the lab."""

    def __init__(self, host, address, directory, **options):
        values = {"address": address, "domain": DOMAIN, "user": USER, "password": PASSWORD, "phone": PHONE,
                  "nonce_expire": 300, "algorithm": "MD5", "max_expires": 3600, "min_expires": 1, **options}
        self.log = os.path.join(directory, "kamailio.log")
        config = os.path.join(directory, "kamailio.cfg")
        with open(config, "w", encoding="ascii") as file:
            file.write(CONFIG.format(**values))
        runtime = os.path.join(directory, "kamailio")
        os.makedirs(runtime, exist_ok=True)
        with open(self.log, "wb") as log:
            # In the foreground; its shared memory and sockets are the lab's own.
            self.process = host.start(["kamailio", "-DD", "-E", "-f", config, "-Y", runtime, "-w", directory,
                                       "-m", "32", "-M", "4"], log=log)
        lab.wait_until("kamailio listens", self._listens, 10)

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"kamailio ended\n{self.report()}")
        with open(f"/proc/{self.process.pid}/net/udp", encoding="ascii") as lines:
            return any(":13C4 00000000:0000 07" in line for line in lines)

    def count(self, text):
        """Lines of its log that hold this."""
        return sum(text in line for line in self.report().splitlines())

    def report(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()
