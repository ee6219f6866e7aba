//! Hours of virtual time with registrars that die, heal, are slow, refuse, forget and lie. Whatever
//! they do: no registration has two REGISTERs on their way, no Call-ID uses a CSeq twice, nobody is
//! stormed, who is well again is registered at again, and what people are told agrees with what the
//! registrar knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::lab::*;
use crate::b2bua::Event;
use crate::b2bua::{Input, RegistrationChange};
use crate::base::{Instant, Random, Realm};
use crate::routing::{Credentials, Register, Trunk};
use crate::sip::{Header, Message, Method, Status, response_to};

const SEEDS: u64 = 6;
const TRUNKS: u32 = 6;
const TIME: Duration = Duration::from_secs(8 * 3_600);
/// More than the longest wait after a failure that passes, and a round of it.
const HEALED: Duration = Duration::from_secs(1_800 + 60);

/// How a registrar behaves for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Well,
    Dead,
    /// Answers after so many milliseconds.
    Slow(u32),
    /// Says so.
    Refusing(u16),
    /// Asks for credentials and never likes them.
    Doubting,
    /// Asks for another nonce each time.
    Forgetful,
    /// Grants next to nothing.
    Mean,
}

struct Registrar {
    mood: Mood,
    since: Instant,
    /// When its last binding ends.
    bound_until: Option<Instant>,
    nonces: u32,
    /// REGISTERs, each once, with the time.
    asked: VecDeque<Instant>,
    /// By Call-ID: the highest CSeq, and the one that has no answer yet.
    sequences: BTreeMap<Vec<u8>, (u32, Option<u32>)>,
}

struct World {
    lab: Lab,
    random: Random,
    registrars: Vec<Registrar>,
    /// Answers under way.
    letters: BTreeSet<(Instant, u32, String, Vec<u8>)>,
    letter: u32,
}

fn address(at: usize) -> String {
    format!("198.51.100.{}:5060", at + 10)
}

fn world(seed: u64) -> World {
    let mut settings = settings();
    settings.routing.trunks.truncate(1);
    settings.routing.routes.truncate(0);
    for at in 0..TRUNKS as usize {
        let name = format!("t{at}");
        settings.routing.trunks.push(Trunk {
            credentials: Some(Credentials { username: name.clone(), password: "secret".to_owned() }),
            register: Some(Register { expires: Duration::from_secs(600), ..Register::default() }),
            ..trunk(&name, Realm::Untrusted, &address(at))
        });
    }
    let lab = Lab::with(settings);
    let registrars = (0..TRUNKS).map(|_| Registrar {
        mood: Mood::Well,
        since: lab.now,
        bound_until: None,
        nonces: 0,
        asked: VecDeque::new(),
        sequences: BTreeMap::new(),
    });
    let registrars = registrars.collect();
    World { lab, random: Random::from_number(seed), registrars, letters: BTreeSet::new(), letter: 0 }
}

impl World {
    fn run(&mut self) {
        let start = self.lab.now;
        let mut change = start;
        while self.lab.now.since(start) < TIME {
            if self.lab.now >= change {
                self.change_a_mood();
                change = self.lab.now + Duration::from_secs(u64::from(self.random.below(600)));
            }
            let letter = self.letters.first().map(|(at, ..)| *at);
            let next = [self.lab.engine.next_deadline(), letter, Some(change)].into_iter().flatten().min();
            let wait = next.map_or(Duration::from_secs(1), |next| next.since(self.lab.now));
            self.lab.advance(wait);
            self.deliver();
            self.hear();
            self.check();
        }
        self.lab.input(Input::Shutdown);
        self.lab.sent.clear();
        self.lab.expect_nothing_left();
    }

    fn change_a_mood(&mut self) {
        let at = self.random.below(TRUNKS) as usize;
        let mood = match self.random.below(10) {
            0..4 => Mood::Well,
            4 => Mood::Dead,
            5 => Mood::Slow(self.random.below(20_000)),
            6 => Mood::Refusing([403, 404, 500, 503, 408, 302, 423][self.random.below(7) as usize]),
            7 => Mood::Doubting,
            8 => Mood::Forgetful,
            _ => Mood::Mean,
        };
        let now = self.lab.now;
        let registrar = &mut self.registrars[at];
        // A refusal is waited out by itself, and for longer: what follows is a fresh start.
        if registrar.mood != mood {
            (registrar.mood, registrar.since) = (mood, now);
        }
    }

    fn hear(&mut self) {
        while let Some((hop, message)) = self.lab.sent.pop_front() {
            assert_eq!(message.method(), Some(&Method::Register), "{}", text(&message));
            let at =
                usize::from(hop.peer.to_string().split(['.', ':']).nth(3).unwrap().parse::<u16>().unwrap())
                    - 10;
            let now = self.lab.now;
            let sequence = message.cseq().unwrap().number;
            let registrar = &mut self.registrars[at];
            let (highest, waiting) = registrar.sequences.entry(message.call_id().to_vec()).or_default();
            let is_new = sequence > *highest;
            assert!(is_new || Some(sequence) == *waiting, "CSeq {sequence} after {highest}");
            if is_new {
                registrar.asked.push_back(now);
                (*highest, *waiting) = (sequence, Some(sequence));
            }
            if let Some(answer) = self.answer(at, &message) {
                let delay = match self.registrars[at].mood {
                    Mood::Slow(millis) => millis,
                    _ => 20,
                };
                let due = now + Duration::from_millis(delay.into());
                self.letter += 1;
                self.letters.insert((due, self.letter, address(at), answer.as_bytes().to_vec()));
            }
        }
    }

    fn answer(&mut self, at: usize, request: &Message) -> Option<Message> {
        let now = self.lab.now;
        let registrar = &mut self.registrars[at];
        let say = |status: u16| {
            response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(status), None, Some("r"))
        };
        let challenge = |nonce: u32, stale: bool| {
            let value = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\", stale={stale}");
            say(401).header(Header::WwwAuthenticate, value)
        };
        let carried =
            request.header(Header::Authorization).map(|value| String::from_utf8_lossy(value).into_owned());
        let knows =
            |nonce: u32| carried.as_ref().is_some_and(|value| value.contains(&format!("nonce=\"{nonce}\"")));
        let grant = |seconds: u32| say(200).display(Header::Expires, seconds);
        let writer = match registrar.mood {
            Mood::Dead => return None,
            Mood::Refusing(423) => say(423).header(Header::MinExpires, "100"),
            Mood::Refusing(status) => say(status),
            Mood::Forgetful if !knows(registrar.nonces) => {
                registrar.nonces += 1;
                challenge(registrar.nonces, true)
            }
            Mood::Doubting => {
                registrar.nonces += 1;
                challenge(registrar.nonces, false)
            }
            Mood::Well | Mood::Slow(_) if !knows(registrar.nonces) => challenge(registrar.nonces, false),
            Mood::Mean => grant(1 + self.random.below(20)),
            Mood::Well | Mood::Slow(_) | Mood::Forgetful => {
                registrar.bound_until = Some(now + Duration::from_secs(600));
                grant(600)
            }
        };
        writer.finish().ok()
    }

    fn deliver(&mut self) {
        while let Some(letter) = self.letters.first().filter(|(at, ..)| *at <= self.lab.now).cloned() {
            self.letters.remove(&letter);
            let (_, _, peer, bytes) = letter;
            self.lab.receive_bytes(&peer, bytes);
        }
    }

    fn check(&mut self) {
        let now = self.lab.now;
        for (at, registrar) in self.registrars.iter_mut().enumerate() {
            while registrar.asked.front().is_some_and(|asked| now.since(*asked) > Duration::from_secs(60)) {
                registrar.asked.pop_front();
            }
            // A binding of a few seconds is renewed every five; with each a challenge or two.
            let most = if registrar.mood == Mood::Mean || now.since(registrar.since) < Duration::from_secs(60)
            {
                40
            } else {
                12
            };
            assert!(
                registrar.asked.len() <= most,
                "t{at}: {} in a minute, {:?}",
                registrar.asked.len(),
                registrar.mood
            );
            let is_registered = self.lab.engine.router.is_registered(&format!("t{at}").as_str().into());
            let is_well = matches!(registrar.mood, Mood::Well | Mood::Forgetful);
            if is_well && now.since(registrar.since) > HEALED * 2 + Duration::from_secs(100) {
                assert!(is_registered, "t{at} is well since {:?} and not registered at", registrar.since);
            }
            if registrar.mood == Mood::Dead && now.since(registrar.since) > Duration::from_secs(620) {
                assert!(!is_registered, "t{at} is dead, and said to be registered at");
            }
        }
    }
}

#[test]
fn registrars_that_die_heal_refuse_and_lie_are_neither_stormed_nor_given_up() {
    let mut faults = BTreeSet::new();
    let (mut registered, mut expired) = (0, 0);
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut world = world(seed);
        world.run();
        // What is told is told by changes: never the same twice in a row.
        for at in 0..TRUNKS {
            let name = format!("t{at}");
            let told = world.lab.events.iter().filter_map(|event| match event {
                Event::Registration { trunk, change, .. } if trunk.as_str() == name => Some(change),
                _ => None,
            });
            let told: Vec<_> = told.collect();
            for change in &told {
                match change {
                    RegistrationChange::Failed { fault, .. } => drop(faults.insert(fault.to_string())),
                    RegistrationChange::Registered { .. } => registered += 1,
                    RegistrationChange::Expired => expired += 1,
                    RegistrationChange::Begins | RegistrationChange::Left => {}
                }
            }
            let same = told.windows(2).filter(|pair| match (pair[0], pair[1]) {
                (
                    RegistrationChange::Failed { fault: first, .. },
                    RegistrationChange::Failed { fault: second, .. },
                ) => first == second,
                (first, second) => first == second,
            });
            assert_eq!(same.count(), 0, "{name}: {told:?}");
        }
    }
    // It was no idle world.
    assert!(faults.len() >= 7 && registered > 50 && expired > 20, "{faults:?}, {registered}, {expired}");
}
