#!/usr/bin/env python3
"""The status page in a real Chromium, over a daemon that carries calls: what it shows, in the dark and on a phone, by
keyboard and to a screen reader, and when the daemon is gone. Screenshots go to target/page-screenshots.

DRAWBRIDGE=FILE is the binary; else target/debug/drawbridge."""

import asyncio
import json
import os
import random
import sys
import time
import unittest

import browser
import daemon
import parties
import scenes
import terminal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("DRAWBRIDGE") or os.path.join(ROOT, "target/debug/drawbridge")
SHOTS = os.path.join(ROOT, "target/page-screenshots")
HOSTILE = '"<img src=x onerror=alert(1)>" '
HOSTILE_USER = "%3Cimg%20src=x%20onerror=alert(1)%3E"
# Whatever the API says, in each of its fields; what is seldom there, too. U+202E turns the direction of writing.
POISON = """
const [ask, Source] = [window.fetch, window.EventSource];
const bad = "<img src=x onerror='window.poisoned=true'><script>window.poisoned=true</scr" + "ipt><a href='javascript:window.poisoned=true'>\u202e";
const seldom = { faults: [{ file: "f", line: 1, column: 1, key: "k", message: "m", cure: "c" }], waiting_for_restart: ["key"] };
const poison = (value, key) => seldom[key] && value.length === 0 ? poison(seldom[key], key)
  : Array.isArray(value) ? value.map((one) => poison(one, key))
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, poison(one, name)]))
  : typeof value === "string" && !/^(at|start|started|answer|leg|direction|state|phase|id)$/.test(key) ? value + bad : value;
window.fetch = async (...words) => {
  const answer = await ask(...words);
  return new Response(JSON.stringify(poison(await answer.json(), "")), { status: answer.status });
};
window.EventSource = class extends Source {
  addEventListener(kind, take) {
    super.addEventListener(kind, kind === "snapshot" ? (event) => take({ data: JSON.stringify(poison(JSON.parse(event.data), "")) }) : take);
  }
};
"""


CALLS_A_SECOND = 4


class Site:
    """A daemon between a PBX and two carriers, with traffic that does not end."""

    def __init__(self):
        self.loop = parties.Loop()
        self.daemon = daemon.Daemon(PROGRAM)
        self.pbx = parties.Pbx("127.0.0.1", ("127.0.0.1", self.daemon.trusted))
        self.carrier, self.dead, self.spare = (parties.Carrier(f"127.0.0.{host}") for host in (2, 3, 4))
        self.dead.is_dead = True
        for party in (self.pbx, self.carrier, self.dead, self.spare):
            self.loop.run(party.start())
        places = {name: (party.host, party.port) for name, party in
                  (("pbx", self.pbx), ("carrier", self.carrier), ("dead", self.dead), ("spare", self.spare))}
        self.daemon.write(**places)
        self.daemon.start()
        self.traffic = self.loop.begin(self.place_calls())

    async def place_calls(self):
        loop = asyncio.get_running_loop()
        # One that stays, for its page.
        loop.create_task(self.pbx.place("+12025550100", "+442079460000", 600))
        while True:
            ends = random.choices(["00", "86", "04", "80"], [16, 2, 1, 1])[0]
            seconds = random.uniform(2, 9) if ends == "00" else 1.5
            caller, called = f"+1202555{random.randrange(10000):04}", f"+44207946{random.randrange(100):02}{ends}"
            loop.create_task(self.pbx.place(caller, called, seconds))
            await asyncio.sleep(random.expovariate(CALLS_A_SECOND))

    def begin_call(self, *words, **more):
        self.loop.begin(self.pbx.place(*words, **more))


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.makedirs(SHOTS, exist_ok=True)
        cls.site = Site()
        cls.browser = browser.Browser(browser.find())

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.site.daemon.stop()

    def open(self, path="/", **looks):
        page = self.browser.open(path if ":" in path else self.site.daemon.address + path, **looks)
        self.addCleanup(page.close)
        return page

    def open_live(self, **looks):
        page = self.open(**looks)
        page.wait("document.getElementById('live').dataset.is === 'live'")
        page.wait("document.querySelectorAll('#call-list tbody tr').length > 0")
        return page

    def shot(self, page, name):
        page.shot(os.path.join(SHOTS, f"{name}.png"))

    def call_id(self, part):
        """The id of a call whose numbers hold this, once it talks."""
        for _ in range(100):
            found = [call for call in self.site.daemon.json("/api/v1/calls")["calls"]
                     if part in call["from"] + call["to"] and call["phase"] == "answered"]
            if found:
                return found[0]["id"]
            time.sleep(0.1)
        self.fail(f"no call of {part}")

    def expect_well(self, page):
        self.assertEqual(page.faults(), [])
        self.assertLessEqual(page.eval("document.documentElement.scrollWidth"), page.width, "it scrolls sideways")

    def test_1_what_is_served(self):
        status, headers, _ = self.site.daemon.get("/")
        headers = {name.lower(): value for name, value in headers.items()}
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertNotIn("unsafe", headers["content-security-policy"])
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["cross-origin-resource-policy"], "same-origin")
        # A name that a stranger may have made to lead here.
        for path in ("/", "/api/v1/calls", "/api/v1/events"):
            status, _, body = self.site.daemon.get(path, Host="attacker.example")
            self.assertEqual(status, 421, path)
        self.assertIn(b"localhost", body or b"localhost")
        self.assertEqual(self.site.daemon.get("/metrics", Host="attacker.example")[0], 200)

    def test_2_calls_are_searched(self):
        call = self.call_id("+12025550100")
        for words in ("%2B12025550100", "+12025550100", call.upper(), "12025550100%20CARRIER%20answered"):
            found = self.site.daemon.json(f"/api/v1/calls?match={words}")
            self.assertEqual([one["id"] for one in found["calls"]], [call], words)
            self.assertGreaterEqual(found["total"], 1)
        self.assertEqual(self.site.daemon.json("/api/v1/calls?match=nobody")["calls"], [])

    def test_2_the_page_lives(self):
        page = self.open_live()
        page.wait("Number(document.querySelector('#readings .value span').innerText) > 0")
        # The dead target is found down, the carrier and the spare are up.
        page.wait("document.querySelectorAll('#trunks .target .mark[data-is=bad]').length === 1")
        page.wait("[...document.querySelectorAll('#readings .reading')].every(r => r.querySelector('.value').innerText[0] !== '–')", 25)
        before = page.text("#readings")
        page.wait(f"document.getElementById('readings').innerText !== {before!r}")
        snapshot = self.site.daemon.json("/api/v1/snapshot")
        window = snapshot["windows"]["five_minutes"]
        self.assertGreater(window["attempts"], 0)
        self.assertGreaterEqual(window["ner"], window["asr"])
        self.assertGreater(window["delay_p95_ms"], 0)
        self.assertGreater(snapshot["second"]["packets"], 50)
        self.assertIsNotNone(snapshot["second"]["relay_load"])
        self.assertEqual([change["state"] for change in snapshot["trunks"][1]["changes"][1]][-1], "down")
        self.assertIn("95 % within", page.text("#readings"))
        self.expect_well(page)
        self.shot(page, "node-light")
        page.look(1280, scheme="dark")
        self.shot(page, "node-dark")
        page.look(360, height=740)
        time.sleep(0.3)
        self.expect_well(page)
        self.shot(page, "node-phone-light")
        page.look(360, height=740, scheme="dark")
        self.shot(page, "node-phone-dark")
        page.look(768)
        time.sleep(0.3)
        self.expect_well(page)
        self.shot(page, "node-tablet")

    def test_3_search_and_keyboard(self):
        page = self.with_a_dead_target()
        order = []
        for _ in range(6):
            page.press("Tab")
            order.append(page.eval("(e => e.id || e.name || e.getAttribute('href') || e.tagName)(document.activeElement)"))
            outline = page.eval("getComputedStyle(document.activeElement.matches('input[type=radio]') ? document.activeElement.nextElementSibling : document.activeElement).outlineStyle")
            self.assertEqual(outline, "solid", order)
        # What is wrong comes first.
        self.assertEqual(order[:4], ["#calls", "#trunk-carrier", "range", "search"])
        self.assertTrue(order[4].startswith("/calls/"), order)
        page.eval("document.querySelector('input[name=range]').focus()")
        page.press("ArrowRight")
        page.wait("document.querySelector('input[name=range]:checked').value === 'minutes'")
        self.assertIn("24 hours", page.eval("document.querySelector('#readings .chart').getAttribute('aria-label')"))
        page.eval("document.activeElement.blur()")
        page.press("/", code="Slash", text="/")
        self.assertEqual(page.eval("document.activeElement.id"), "search")
        self.assertEqual(page.eval("document.activeElement.value"), "")
        page.type("2025550100")
        page.wait("document.querySelectorAll('#call-list tbody tr').length === 1")
        self.assertIn("+12025550100 → +442079460000", page.text("#call-list"))
        self.assertIn("1 match", page.text("#calls-aside"))
        page.press("Tab")
        # A redraw each second leaves the focus where it is.
        page.eval("new Promise(done => setTimeout(done, 2500))")
        self.assertTrue(page.eval("document.activeElement.href").startswith(self.site.daemon.address + "/calls/"))
        page.press("Enter", text="\r")
        page.wait("location.pathname.startsWith('/calls/')")
        page.wait("document.getElementById('title')?.innerText.includes('+442079460000')")
        self.expect_well(page)

    def test_4_what_a_screen_reader_is_told(self):
        page = self.open_live()
        page.wait("document.querySelectorAll('#trunks tbody tr').length === 3")
        told = page.accessible()
        roles = [role for role, _ in told]
        for landmark in ("banner", "main", "contentinfo", "status", "searchbox", "radiogroup"):
            self.assertIn(landmark if landmark != "radiogroup" else "group", roles, landmark)
        for expected in [("heading", "sbc1"), ("heading", "Traffic"), ("heading", "Trunks"), ("heading", "Calls in progress"),
                         ("table", "Trunks"), ("table", "Calls in progress"), ("columnheader", "Targets"), ("radio", "24 hours")]:
            self.assertIn(expected, told)
        self.assertTrue(any(role == "rowheader" and name.startswith("carrier") for role, name in told))
        images = [name for role, name in told if role in ("image", "img")]
        self.assertTrue(any(name.startswith("Active calls in the last 5 minutes: from ") for name in images), images)
        self.assertTrue(any("down once" in name for name in images), images)
        # Changes of state are announced, figures are not.
        self.assertEqual(page.text("#announce"), "")
        self.assertEqual(self.site.daemon.command("drain").returncode, 0)
        page.wait("document.getElementById('announce').innerText.includes('The node is draining.')")
        self.assertIn("draining", page.text("#state"))
        self.assertEqual(self.site.daemon.command("undrain").returncode, 0)
        page.wait("document.getElementById('announce').innerText.includes('The node is serving.')")
        # The same names where the rows are stacked.
        page.look(360, height=740)
        told = page.accessible()
        self.assertIn(("table", "Trunks"), told)
        self.assertIn(("columnheader", "Targets"), told)
        self.expect_well(page)

    def test_5_what_the_network_says_is_text(self):
        self.site.begin_call(HOSTILE_USER, "+442079471100", 30, display=HOSTILE)
        page = self.open_live()
        page.wait("document.getElementById('call-list').innerText.includes('+442079471100')")
        row = page.eval("[...document.querySelectorAll('#call-list tbody tr')].find(r => r.innerText.includes('+442079471100')).innerText")
        self.assertIn("onerror", row)
        page.do("Page.navigate", url=f"{self.site.daemon.address}/calls/{self.call_id('+442079471100')}")
        page.wait("document.getElementById('title').innerText.includes('+442079471100')")
        self.assertIn("onerror", page.text("#title"))
        self.expect_well(page)
        # Of a carrier: the phrase of its answer.
        page.do("Page.navigate", url=self.site.daemon.address)
        self.site.begin_call("+12025550105", "+442079471105", 10)
        page.wait("[...document.querySelectorAll('#call-list tbody tr')].some(r => r.innerText.includes('+442079471105'))")
        page.do("Page.navigate", url=page.eval("[...document.querySelectorAll('#call-list a')].find(a => a.innerText.includes('+442079471105')).href"))
        page.wait("document.getElementById('state').innerText.includes('ended')")
        page.eval("document.getElementById('ladder-details').open = true")
        self.assertIn("603 <img src=x onerror", page.text("#ladder-table"))
        self.assertNotIn("\u202e", page.eval("document.documentElement.textContent + document.title"))
        self.expect_well(page)
        # And if the API let more through.
        for path, place in (("/", "#call-list tbody tr"), ("/", "#trunks tbody tr"), ("/", "#notices li"), (f"/calls/{self.call_id('+12025550100')}", "#legs dd")):
            page = self.open("about:blank", script=POISON)
            page.do("Page.navigate", url=self.site.daemon.address + path)
            page.wait(f"document.querySelector({place!r}).innerText.includes('<img src=x')")
            self.assertEqual(page.eval("document.querySelectorAll('main script, main img, a[href^=javascript]').length"), 0)
            self.assertNotIn("\u202e", page.eval("document.documentElement.outerHTML + document.title"))
            self.assertIsNone(page.eval("window.poisoned"))
            self.expect_well(page)

    def test_6_a_ladder(self):
        page = self.open("/calls/00k3v8m1q2w7x5z9a4b6c0d2e8", script=scenes.script(call=scenes.a_call()))
        page.wait("document.querySelectorAll('#ladder-drawing svg .row').length === 14")
        parties_of = page.eval("[...document.querySelectorAll('.party')].map(p => p.textContent)")
        self.assertEqual(parties_of, ["pbx", "Drawbridge", "spare", "carrier"])
        self.assertEqual(page.eval("document.querySelectorAll('.row.again').length"), 1)
        self.assertEqual(page.eval("document.querySelectorAll('.tip.failure').length"), 1)
        ladder = [name for role, name in page.accessible() if role in ("image", "img") and name.startswith("Ladder of ")]
        self.assertEqual(ladder, ["Ladder of 14 SIP messages between pbx, Drawbridge, spare, carrier"])
        self.assertIn("4.38", page.text("#media"))
        self.assertIn("trusted, +44*", page.text("#route"))
        self.shot(page, "ladder-light")
        page.eval("document.getElementById('ladder-details').open = true")
        table = page.text("#ladder-table")
        self.assertIn("503 Service Unavailable", table)
        self.assertIn("(again)", table)
        page.look(360, height=740, scheme="dark")
        page.eval("new Promise(done => setTimeout(done, 400))")
        self.expect_well(page)
        self.shot(page, "ladder-phone-dark")

    def test_6_who_is_not_heard_and_why(self):
        page = self.open("/calls/00ab", script=scenes.script(call=scenes.a_call_that_is_half_heard()))
        page.wait("document.getElementById('state').innerText.includes('one-way audio')")
        notice = page.text("#notices")
        for part in ("The caller does not hear the callee, for 0:42 now.", "2,100 packets of the callee came from another place", "source_mismatch",
                     "from 198.51.100.7:40000", "its SDP says 203.0.113.9:40000", "latch"):
            self.assertIn(part, notice)
        self.assertIn("The caller does not hear the callee.", page.text("#announce"))
        told = page.accessible()
        words = " ".join(name for _, name in told)
        for expected in [("table", "Media of both directions"), ("table", "Packets that were dropped, and why"), ("columnheader", "Heard"),
                         ("table", "Where the packets of each side come from"), ("heading", "Dropped packets")]:
            self.assertIn(expected, told)
        # Without any colour: which side, since when, and what came of it.
        for part in ("Fault:", "The callee is not heard, the caller is.", "no, 0:42", "they are no RTP"):
            self.assertIn(part, words)
        self.shot(page, "one-way-light")
        page.look(360, height=740, scheme="dark")
        page.eval("new Promise(done => setTimeout(done, 400))")
        self.expect_well(page)
        self.shot(page, "one-way-phone-dark")
        # Once it is over its page still says it.
        page = self.open("/calls/00ab", script=scenes.script(call=scenes.a_call_that_is_half_heard(is_over=True)))
        page.wait("document.getElementById('notices').innerText.includes('The caller did not hear the callee at the end, for 0:42 in all.')")
        self.assertIn("not_rtp", page.text("#media"))
        self.assertIn("ended: answered, 200", page.text("#state"))
        self.expect_well(page)
        # One that is well has nothing to say.
        page = self.open("/calls/00ab", script=scenes.script(call=scenes.golden("call")))
        page.wait("document.getElementById('media').innerText.includes('Both sides are heard.')")
        self.assertTrue(page.eval("document.getElementById('notices').hidden"))
        self.assertIn("source_mismatch", page.text("#media"))

    def test_6_a_callee_that_is_not_heard_is_found(self):
        self.site.begin_call("+12025550166", "+442079471166", 40)
        page = self.open_live()
        page.wait("document.getElementById('notices').innerText.includes('had one-way audio in the last 5 minutes.')")
        self.assertIn("carrier (1)", page.text("#notices"))
        page.eval("[...document.querySelectorAll('#notices a')].find(a => a.innerText === 'Show those in progress').click()")
        page.wait("document.querySelectorAll('#call-list tbody tr').length === 1")
        self.assertIn("callee not heard", page.text("#call-list"))
        self.expect_well(page)
        self.shot(page, "node-one-way")
        page.do("Page.navigate", url=page.eval("document.querySelector('#call-list a').href"))
        page.wait("document.getElementById('notices').innerText.includes('The caller does not hear the callee')")
        self.assertIn("source_mismatch", page.text("#notices"))
        self.assertIn("127.0.0.5:", page.text("#notices"))
        self.expect_well(page)

    def scene(self, make, *more, **looks):
        """The page of what `make` makes of what the daemon says."""
        snapshot, calls, history = (self.site.daemon.json(f"/api/v1/{name}") for name in ("snapshot", "calls", "history"))
        snapshot, calls = make(snapshot, calls, *more)
        page = self.open("/", script=scenes.script(snapshot, calls, history), **looks)
        page.wait("document.getElementById('live').dataset.is === 'live'")
        page.wait("document.getElementById('calls-aside').innerText !== '' || document.getElementById('call-list').innerText !== ''")
        return page

    def with_a_dead_target(self):
        page = self.open_live()
        page.wait("document.querySelectorAll('#trunks .target .mark[data-is=bad]').length === 1")
        return page

    def test_7_a_large_node(self):
        self.with_a_dead_target()
        page = self.scene(scenes.a_large_node)
        page.wait("document.querySelectorAll('#trunks tbody tr').length === 40")
        # What is wrong is said first, by name, and what is well is folded away.
        self.assertRegex(page.text("#state"), "^serving, 2 faults, [0-9]+ warnings?$")
        for part in ("Trunk pbx-site-31 is down.", "Trunk carrier-eu-west-12 is refused.", "2 targets are down, of 2 trunks that are up.",
                     "12 packets of media in the last 5 minutes found a full queue", "9,400 of 10,000"):
            self.assertIn(part, page.text("#notices"))
        self.assertEqual(page.eval("document.querySelectorAll('#trunks details[open]').length"), 3)
        self.assertTrue(page.eval("document.title").startswith("■ sbc1"))
        page.eval("document.querySelector('#notices a').click()")
        page.wait("document.activeElement.innerText.includes('pbx-site-31') || location.hash === '#trunk-pbx-site-31'")
        # The call that is not heard is the first of 200.
        self.assertIn("caller not heard", page.text("#call-list tbody tr"))
        self.assertEqual(page.eval("document.querySelectorAll('#call-list tbody tr').length"), 200)
        self.expect_well(page)
        # Those that began last are not among the 1,000 that are listed: the daemon searches.
        self.assertIn("looked at the 1,000 oldest", page.text("#calls-aside"))
        page.eval("document.getElementById('search').focus()")
        page.type("+12029998877")
        page.wait("document.getElementById('call-list').innerText.includes('+12029998877')")
        self.assertEqual(page.eval("window.asked"), "/api/v1/calls?match=%2B12029998877")
        self.assertNotIn("looked at", page.text("#calls-aside"))
        page.eval("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
        page.wait("document.querySelectorAll('#call-list tbody tr').length === 200")
        page.eval("history.replaceState(null, '', '/')")
        self.shot(page, "node-large")
        page.look(360, height=740)
        page.eval("new Promise(done => setTimeout(done, 700))")
        self.expect_well(page)
        self.shot(page, "node-large-phone")

    def test_7_a_fresh_install_says_what_comes_next(self):
        page = self.scene(scenes.a_fresh_node)
        page.wait("document.getElementById('state').innerText === 'serving, not set up yet'")
        for part in ("No trunk is configured yet", "/etc/drawbridge/drawbridge.toml", "drawbridge profiles", "drawbridge check"):
            self.assertIn(part, page.text("#notices"))
        self.assertEqual(page.eval("document.querySelectorAll('#notices ol li').length"), 4)
        self.assertIn("No trunk is configured.", page.text("#trunks"))
        self.assertIn("No call is in progress.", page.text("#call-list"))
        self.expect_well(page)
        self.shot(page, "node-fresh")
        page.look(360, height=740, scheme="dark")
        page.eval("new Promise(done => setTimeout(done, 700))")
        self.expect_well(page)
        self.shot(page, "node-fresh-phone-dark")

    def test_7_a_daemon_in_trouble(self):
        def trouble(snapshot, calls):
            cdrs = scenes.changed(snapshot["status"]["cdrs"], waiting=912, lost=3, fault="No space left on device (os error 28)")
            snapshot = scenes.with_status(snapshot, state="draining", drain_deadline="2026-11-21T23:43:08.788Z", cdrs=cdrs)
            return scenes.with_window(snapshot, attempts=200, effective=90, ner=0.45, mos=3.4), calls
        page = self.scene(trouble, width=360, height=740)
        page.wait("document.getElementById('state').innerText.startsWith('draining, no new calls until 23:43:08 UTC, 2 faults, ')")
        for part in ("Call records cannot be written.", "No space left on device", "Only 45.0 % of calls were delivered", "opinion score 3.40",
                     "drawbridge undrain"):
            self.assertIn(part, page.text("#notices"))
        self.expect_well(page)
        self.shot(page, "node-trouble-phone")
        # The engine answers no more: what was known stays, and is said to be old. Then the box's clock is set back.
        rows = page.eval("document.querySelectorAll('#trunks tbody tr').length")
        page.eval("Object.assign(window.scene.status, { state: 'unresponsive', calls: null, transactions: null, media_ports: null, trunks: null, failing_trunks: null })")
        page.eval("window.scene.trunks = null")
        page.wait("document.getElementById('state').innerText.includes('the engine does not answer')")
        self.assertEqual(page.eval("document.querySelectorAll('#trunks tbody tr').length"), rows)
        page.eval("window.scene.at = '1970-01-01T00:00:03.000Z'")
        page.eval("new Promise(done => setTimeout(done, 700))")
        self.assertEqual(page.eval("document.getElementById('live').dataset.is"), "live")
        self.expect_well(page)

    def test_7_a_calls_page(self):
        call = self.call_id("+12025550100")
        page = self.open(f"/calls/{call}")
        page.wait("document.getElementById('state').innerText.includes('answered')")
        self.assertIn("carrier", page.text("#legs"))
        body = self.site.daemon.json(f"/api/v1/calls/{call}")
        if body.get("messages"):
            page.wait("document.querySelectorAll('#ladder-drawing svg .row').length >= 5")
            told = page.accessible()
            self.assertTrue(any(role in ("image", "img") and name.startswith("Ladder of ") for role, name in told))
            page.eval("document.getElementById('ladder-details').open = true")
            self.assertIn("INVITE", page.text("#ladder-table"))
        if body.get("media"):
            page.wait("document.querySelectorAll('#media .table')[0].querySelectorAll('tbody tr').length === 2")
        self.expect_well(page)
        self.shot(page, "call-light")
        page.look(1280, scheme="dark")
        self.shot(page, "call-dark")
        page.look(360, height=740)
        page.eval("new Promise(done => setTimeout(done, 500))")
        self.expect_well(page)
        self.shot(page, "call-phone")
        page.do("Page.navigate", url=f"{self.site.daemon.address}/calls/nosuchcall")
        page.wait("document.getElementById('notices')?.innerText.includes('There is no such call.')")

    def test_8_a_refused_configuration_is_shown_with_its_cure(self):
        self.site.daemon.put(self.site.daemon.text.replace("workers = 1", "wokers = 1"))
        self.addCleanup(self.site.daemon.put, self.site.daemon.text)
        self.assertEqual(self.site.daemon.command("reload").returncode, 1)
        page = self.open_live()
        page.wait("document.getElementById('notices').innerText.includes('refused')")
        notice = page.text("#notices")
        for part in ("drawbridge.toml:", "media.wokers", "unknown key", 'did you mean "workers"?'):
            self.assertIn(part, notice)
        self.shot(page, "node-refused")
        self.site.daemon.put(self.site.daemon.text)
        self.site.daemon.command("reload")
        page.wait("!document.getElementById('notices').innerText.includes('refused')")
        self.expect_well(page)

    def test_8_motion_is_asked_for(self):
        page = self.open_live(reduced_motion=True)
        animation = "getComputedStyle(document.querySelector('.lamp')).animationName"
        self.assertEqual(page.eval(animation), "none")
        page.look(1280, reduced_motion=False)
        self.assertEqual(page.eval(animation), "breathe")

    def test_8_top_in_a_terminal(self):
        # The dead target was found out.
        end = time.monotonic() + 20
        while " down" not in (once := self.site.daemon.command("top", "--once")).stdout and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual((once.returncode, once.stderr), (0, ""))
        for part in ("sbc1  serving", "carrier", "down", "+12025550100", "packets/s"):
            self.assertIn(part, once.stdout)
        self.assertNotIn("\x1b", once.stdout)
        screen = terminal.Terminal([PROGRAM, "top", "--config", self.site.daemon.config], 24, 80)
        self.addCleanup(screen.close)
        screen.wait("carrier")
        screen.press("\t/2025550100\r")
        screen.wait("calls (1)")
        screen.press("\r")
        screen.wait("esc back")
        screen.wait(self.call_id("+12025550100"))
        screen.press("q")
        self.assertEqual(screen.end(), 0)
        self.assertIn("\x1b[?1049l", screen.text, "the terminal is not given back")

    def test_9_the_connection_is_lost_and_found(self):
        of_call = self.open(f"/calls/{self.call_id('+12025550100')}")
        of_call.wait("document.getElementById('state').innerText.startsWith('answered')")
        page = self.open_live()
        self.site.daemon.stop()
        page.wait("document.getElementById('live').dataset.is === 'lost'")
        page.wait("/connection lost, data is [0-9]+ s old/.test(document.getElementById('live-text').innerText)")
        page.wait("document.getElementById('announce').innerText.includes('Connection lost')")
        self.assertTrue(page.eval("document.body.classList.contains('lost')"))
        self.assertIn("was serving", page.text("#state"))
        self.shot(page, "node-lost")
        # Who does not look asks for nothing, and is not told that nothing came.
        of_call.do("Page.bringToFront")
        of_call.wait("document.getElementById('state').innerText === 'was answered when it was last heard of'")
        page.do("Page.bringToFront")
        self.site.daemon.start()
        page.wait("document.getElementById('live').dataset.is === 'live'")
        self.assertFalse(page.eval("document.body.classList.contains('lost')"))
        page.wait("document.getElementById('state').innerText.startsWith('serving')")
        # The daemon that is there now knows nothing of the call.
        of_call.do("Page.bringToFront")
        of_call.wait("document.getElementById('state').innerText === 'over'")


if __name__ == "__main__":
    if browser.find() is None:
        sys.exit("no Chromium: apt-get install chromium")
    # The browser and the event loop are ended by their ends, not by the collector.
    unittest.main(verbosity=2, warnings="ignore")
