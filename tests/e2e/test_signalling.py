"""What a phone network throws at an SBC every day, over UDP, TCP and TLS.

Each test is a call with something out of the ordinary in it; the classes at the end run all of them
with every transport, and the plain ones with the two sides' transports mixed.
"""

import lab
import scenarios
from case import LabCase, PBX_DIALS
from script import audio, callee, caller, fax, literal

# Whom a call is sent on to.
OTHER = "+12025550199"
PIDF = "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>"


def multipart(sdp):
    """SDP beside a location, as an emergency call carries them (RFC 6442)."""
    return (f"--lab\nContent-Type: application/sdp\n\n{sdp}\n"
            f"--lab\nContent-Type: application/pidf+xml\n\n{PIDF}\n--lab--\n")


class Plain:
    """Calls that must go through whatever each side speaks."""

    def test_pbx_calls(self):
        at_pbx, at_carrier = self.sinks(1)
        answering = self.carrier_a(scenarios.answer())
        self.pbx_calls().must_succeed()
        answering.must_succeed()
        self.expect_audio(at_pbx, "PBX", 1)
        self.expect_audio(at_carrier, "carrier", 1)
        self.expect_one_call()

    def test_carrier_calls_and_the_callee_hangs_up(self):
        answering = self.pbx(scenarios.answer_and_hang_up())
        self.carrier_calls(scenarios.call_until_bye()).must_succeed()
        answering.must_succeed()
        self.expect_one_call()

    def test_cancel(self):
        ringing = self.carrier_a(scenarios.ring_until_cancelled())
        self.pbx_calls(scenarios.call_and_cancel()).must_succeed()
        ringing.must_succeed()
        self.expect_one_call(487)

    def test_busy(self):
        busy = self.carrier_a(scenarios.refuse(486))
        self.pbx_calls(scenarios.call_refused(486)).must_succeed()
        busy.must_succeed()
        self.expect_one_call(486)

    def expect_one_call(self, status=200):
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["status"], status)
        self.expect_nothing_left()
        return record


class Signalling(Plain):
    """Everything else."""

    def run_call(self, calling, answering, status=200):
        """A call of the PBX's, both sides as scripted."""
        answerer = self.carrier_a(answering)
        self.pbx_calls(calling).must_succeed()
        answerer.must_succeed()
        return self.expect_one_call(status)

    # ------------------------------------------------------------------ offers and answers (RFC 3264)

    def test_late_offer(self):
        self.run_call(
            caller().invites(None).is_answered(has=["m=audio"], ack_body=audio(1, "0 101")).plays().pauses()
            .hangs_up(),
            callee().is_invited(lacks=["m=audio"]).says(180).answers(audio(), ack_has=["m=audio"]).plays()
            .is_hung_up_on())

    def test_the_caller_holds_and_resumes(self):
        self.run_call(scenarios.call_hold_resume(), scenarios.answer_hold_resume())

    def test_the_callee_holds_and_resumes(self):
        self.run_call(
            caller().invites().is_answered().plays()
            .is_reinvited(audio(2, direction="recvonly"), has=["a=sendonly"])
            .is_reinvited(audio(3), has=["a=sendrecv"]).is_hung_up_on(),
            callee().is_invited().says(180).answers().plays().pauses(300)
            .reinvites(audio(2, "0 101", "sendonly"), has=["a=recvonly"]).pauses(300)
            .reinvites(audio(3, "0 101")).hangs_up())

    def test_audio_becomes_fax_and_audio_again(self):
        self.run_call(
            caller().invites().is_answered().plays()
            .is_reinvited(fax(2), has=["m=image [1-9][0-9]* udptl t38"])
            .is_reinvited(audio(3, "0"), has=["m=audio [1-9]"]).is_hung_up_on(),
            callee().is_invited().answers().plays().pauses(300)
            .reinvites(fax(2), has=["m=image [1-9][0-9]* udptl t38"]).pauses(300)
            .reinvites(audio(3, "0")).hangs_up())

    def test_annexb_and_codecs_cross_as_they_are(self):
        self.run_call(
            caller().invites(audio(1, "18 0 101")).is_answered(has=["a=fmtp:18 annexb=no"]).pauses(200)
            .hangs_up(),
            callee().is_invited(has=["RTP/AVP 18 0 101", "a=fmtp:18 annexb=no"])
            .answers(audio(1, "18 101")).is_hung_up_on())

    # ------------------------------------------------------------- reliable provisionals (RFC 3262)

    def test_a_callee_with_100rel_and_a_caller_without(self):
        self.run_call(
            caller().invites().hears(100, optional=True)
            .hears(183, has=["m=audio"], lacks=["Require:", "RSeq:"]).is_answered().pauses(200).hangs_up(),
            callee().is_invited(has=["Supported:.*100rel"])
            .says(183, audio(1, "0 101"), ["Require: 100rel", "RSeq: 4711"])
            .is_asked("PRACK", has=["RAck: 4711 [0-9]+ INVITE"])
            .answers().is_hung_up_on())

    def test_a_caller_that_requires_100rel_and_a_callee_without(self):
        self.run_call(
            caller().invites(headers=["Require: 100rel"]).hears(100, optional=True)
            .hears(183, has=["Require:.*100rel"], learns=True, rseq=True)
            .asks("PRACK", headers=["RAck:[$rseq] 1 INVITE"]).is_answered().pauses(200).hangs_up(),
            callee().is_invited().says(183, audio(1, "0 101")).pauses(700).answers().is_hung_up_on())

    # ------------------------------------------------------------------ session timers (RFC 4028)

    def test_a_short_session_timer_is_refused(self):
        self.refused_with(422, headers=["Supported: timer", "Session-Expires: 30"], has=["Min-SE: *90"])

    def test_the_caller_refreshes(self):
        self.run_call(
            caller().invites(headers=["Supported: timer", "Session-Expires: 1800;refresher=uac"])
            .is_answered(has=["Session-Expires: *[0-9]+ *; *refresher=uac"])
            .asks("UPDATE", headers=["Supported: timer", "Session-Expires: 1800;refresher=uac"],
                  has=["Session-Expires: *[0-9]+ *; *refresher=uac"])
            .hangs_up(),
            callee().is_invited().answers().is_hung_up_on())

    # --------------------------------------------------------------------- requests within the call

    def test_info_and_message_cross(self):
        self.run_call(
            caller().invites().is_answered()
            .asks("INFO", body="Signal=5\nDuration=160\n", content_type="application/dtmf-relay")
            .asks("OPTIONS").hangs_up(),
            callee().is_invited().answers().is_asked("INFO", has=["Signal=5"]).is_asked("OPTIONS")
            .is_hung_up_on())

    # -------------------------------------------------------------------- redirection and transfer

    def test_a_redirection_is_followed_to_another_trunk(self):
        self.change_trunk("carrier-a", 'redirect = "follow"')
        self.sbc.set_route("out", ["carrier-a", "carrier-b"])
        self.reload()
        moved = self.carrier_a(callee().is_invited().refuses(302, [f"Contact: <sip:{OTHER}@{lab.CARRIER_B}>"]))
        answering = self.carrier_b(callee().is_invited(has=[rf"INVITE sip:.{OTHER[1:]}@"]).answers()
                                   .is_hung_up_on())
        self.pbx_calls(caller().invites().is_answered().hangs_up()).must_succeed()
        moved.must_succeed()
        answering.must_succeed()
        record = self.expect_one_call()
        self.assertEqual([attempt["status"] for attempt in record["attempts"]], [302, 200])

    def test_a_redirection_is_passed_on_with_our_address(self):
        self.change_trunk("carrier-a", 'redirect = "pass"')
        self.reload()
        moved = self.carrier_a(callee().is_invited().refuses(302, [f"Contact: <sip:{OTHER}@203.0.113.99>"]))
        self.pbx_calls(caller().invites().is_refused(
            302, has=[rf"Contact: <sip:.{OTHER[1:]}@{literal(lab.SBC_TRUSTED)}"],
            lacks=[literal("203.0.113.99")])).must_succeed()
        moved.must_succeed()
        self.expect_one_call(302)

    def test_a_refer_is_relayed_without_a_word_of_the_other_side(self):
        self.change_trunk("pbx", 'refer = "relay"')
        self.reload()
        self.run_call(
            caller().invites().is_answered()
            .asks("REFER", 202, headers=[f"Refer-To: <sip:{OTHER}@{lab.PBX}>"])
            .is_asked("NOTIFY", has=["SIP/2.0 200", "Subscription-State: *terminated"]).is_hung_up_on(),
            callee().is_invited().answers()
            .is_asked("REFER", 202, has=[rf"Refer-To:.*{OTHER[1:]}"], lacks=[literal(lab.PBX)]).pauses(200)
            .asks("NOTIFY", body="SIP/2.0 200 OK\n", content_type="message/sipfrag;version=2.0",
                  headers=["Event: refer", "Subscription-State: terminated;reason=noresource"])
            .hangs_up())

    def test_a_refer_is_carried_out(self):
        self.change_trunk("pbx", 'refer = "consume"')
        self.sbc.set_route("out", ["carrier-a"], to=[PBX_DIALS])
        self.sbc.set_route("transferred", ["carrier-b"])
        self.reload()
        stays = self.carrier_a(callee().is_invited().answers().plays().is_reinvited().is_hung_up_on())
        joins = self.carrier_b(callee().is_invited(has=[rf"INVITE sip:.{OTHER[1:]}@"]).says(180).pauses(200)
                               .answers().plays().pauses().hangs_up())
        self.pbx_calls(
            caller().invites().is_answered().plays()
            .asks("REFER", 202, headers=[f"Refer-To: <sip:{OTHER}@{lab.SBC_TRUSTED}>"])
            .is_asked("NOTIFY", has=["SIP/2.0 100"]).is_asked("NOTIFY", has=["SIP/2.0 180"])
            .is_asked("NOTIFY", has=["SIP/2.0 200", "terminated"]).hangs_up()).must_succeed()
        joins.must_succeed()
        stays.must_succeed()
        self.expect_one_call()

    def change_trunk(self, name, extra):
        self.sbc.write_trunk(name, extra=extra)

    def reload(self):
        """What was changed before is in force."""
        done = self.sbc.metric("drawbridge_config_reloads_total", result="ok")
        self.sbc.reload()
        lab.wait_until("the reload is done",
                       lambda: self.sbc.metric("drawbridge_config_reloads_total", result="ok") > done)

    def test_a_redirection_is_refused(self):
        moved = self.carrier_a(
            callee().is_invited().refuses(302, ["Contact: <sip:+12025550199@203.0.113.99>"]))
        self.pbx_calls(caller().invites().is_refused(480, lacks=[literal("203.0.113.99")])).must_succeed()
        moved.must_succeed()
        self.expect_one_call(480)

    def test_a_refer_is_refused(self):
        self.run_call(
            caller().invites().is_answered()
            .asks("REFER", 603, headers=["Refer-To: <sip:+12025550199@10.0.0.10>"]).hangs_up(),
            callee().is_invited().answers().is_hung_up_on())

    # ------------------------------------------------------------------------------ loops and limits

    def test_max_forwards_zero(self):
        self.refused_with(483, max_forwards=0)

    def test_an_unknown_extension_is_named(self):
        self.refused_with(420, headers=["Require: lab-magic"], has=["Unsupported: *lab-magic"])

    def refused_with(self, status, has=(), **options):
        self.pbx_calls(caller().invites(**options).is_refused(status, has=has)).must_succeed()
        self.expect_nothing_left()

    # --------------------------------------------------------------------------------------- bodies

    def test_the_sdp_of_a_multipart_body_is_taken(self):
        self.run_call(
            caller().invites(multipart(audio()), content_type="multipart/mixed;boundary=lab")
            .is_answered().plays().pauses().hangs_up(),
            callee().is_invited(has=["Content-Type: application/sdp", "m=audio"], lacks=["presence"])
            .answers().plays().is_hung_up_on())

    def test_a_body_that_policy_passes_goes_beside_the_sdp(self):
        self.change_trunk("carrier-a", 'bodies = { pass = ["application/pidf+xml"] }')
        self.reload()
        self.run_call(
            caller().invites(multipart(audio()), content_type="multipart/mixed;boundary=lab")
            .is_answered().hangs_up(),
            callee().is_invited(has=["Content-Type: multipart/mixed", "m=audio", "presence"])
            .answers().is_hung_up_on())

    def test_an_encoded_body_is_refused(self):
        self.refused_with(415, headers=["Content-Encoding: gzip"], has=["Accept-Encoding:"])

    # ------------------------------------------------------------------------- identity and privacy

    def test_privacy_hides_the_caller(self):
        self.run_call(
            caller().invites(headers=["Privacy: id",
                                      "P-Asserted-Identity: <sip:+14155550100@10.0.0.10>"])
            .is_answered().hangs_up(),
            callee().is_invited(has=["From:.*anonymous"], lacks=[literal("4155550100")]).answers()
            .is_hung_up_on())


    def test_the_caller_goes_where_the_trunk_wants_it(self):
        self.change_trunk("carrier-a", 'identity = "pai"\ndiversion = "diversion"')
        self.reload()
        self.run_call(
            caller().invites(headers=[f"Diversion: <sip:{OTHER}@{lab.PBX}>;reason=user-busy"])
            .is_answered().hangs_up(),
            callee().is_invited(has=["P-Asserted-Identity:.*4155550100", rf"Diversion:.*{OTHER[1:]}.*user-busy"],
                                lacks=[literal(lab.PBX)])
            .answers().is_hung_up_on())


def over(trusted, untrusted, tests):
    """A class of these tests with these transports, in this module under its name."""
    name = f"{tests.__name__}{trusted.title()}{untrusted.title()}"
    attributes = {"trusted": trusted, "untrusted": untrusted, "out": ("carrier-a",), "__module__": __name__}
    globals()[name] = type(name, (tests, LabCase), attributes)


for same in ("udp", "tcp", "tls"):
    over(same, same, Signalling)
for inner, outer in (("udp", "tls"), ("tls", "udp"), ("tcp", "tls"), ("udp", "tcp")):
    over(inner, outer, Plain)
