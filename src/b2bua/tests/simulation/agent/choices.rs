//! What an agent does next with a call, at random, but as RFC 3261 allows.

use super::*;

impl Agent {
    /// Does something with one of the calls. Returns what, for the log.
    pub fn act(&mut self, now: Instant) -> String {
        let live: Vec<usize> =
            (0..self.calls.len()).filter(|at| self.calls[*at].state != UaState::Over).collect();
        if live.is_empty() {
            return "idle".to_owned();
        }
        let at = live[self.random.below(live.len() as u32) as usize];
        let dice = self.random.below(100);
        let call = &self.calls[at];
        let what = match (call.state, call.server.is_some(), call.client.is_some()) {
            (UaState::Early, true, _) => self.decide(now, at, dice),
            (UaState::Early, false, true) => self.decide_early(now, at, dice),
            (UaState::Confirmed, true, _) if dice < 60 => self.answer_reinvite(now, at, dice),
            (UaState::Confirmed, _, true) if dice < 30 => self.cancel(now, at),
            (UaState::Confirmed, ..) => self.change(now, at, dice),
            (UaState::Early, false, false) | (UaState::Over, ..) => "nothing",
        };
        self.pump(now);
        format!("{} call {at}: {what}", self.mark)
    }

    fn decide(&mut self, now: Instant, at: usize, dice: u32) -> &'static str {
        let Some((server, request)) = self.calls[at].server.clone() else { return "nothing" };
        let streams = streams_of(&request).max(1);
        match dice {
            0..15 => self.respond(now, at, server, &request, 180, None),
            15..30 => return self.ring_reliably(now, at),
            30..34 => return self.ring_elsewhere(now, at),
            34..45 if self.calls[at].ringing.is_settled || self.calls[at].ringing.is_pending() => {
                self.respond(now, at, server, &request, 183, None);
            }
            34..45 if !request.body().is_empty() => {
                let answer = self.sdp(streams, 0);
                self.respond(now, at, server, &request, 183, Some(answer));
            }
            34..45 => self.respond(now, at, server, &request, 183, None),
            45..85 => return self.accept(now, at),
            _ => {
                let status = [486, 503, 603, 480, 500, 404, 302, 401][self.random.below(8) as usize];
                self.calls[at].server = None;
                self.calls[at].ringing.stop();
                self.calls[at].state = UaState::Over;
                self.respond(now, at, server, &request, status, None);
                return "rejects";
            }
        }
        "rings"
    }

    fn decide_early(&mut self, now: Instant, at: usize, dice: u32) -> &'static str {
        match dice {
            0..25 => self.hang_up(now, at),
            25..40 => self.ask(now, at, &Method::Info),
            40..45 => self.update_early(now, at),
            _ => "waits",
        }
    }

    fn answer_reinvite(&mut self, now: Instant, at: usize, dice: u32) -> &'static str {
        if dice < 40 {
            return self.accept(now, at);
        }
        if let Some((server, request)) = self.calls[at].server.take() {
            self.respond(now, at, server, &request, 488, None);
        }
        "refuses a change"
    }

    fn cancel(&mut self, now: Instant, at: usize) -> &'static str {
        if let Some(client) = self.calls[at].client {
            self.transactions.cancel(now, client, None);
        }
        "cancels a change"
    }

    fn change(&mut self, now: Instant, at: usize, dice: u32) -> &'static str {
        match dice {
            0..25 => self.hang_up(now, at),
            25..55 => self.reinvite(now, at),
            55..70 => self.ask(now, at, &Method::Info),
            70..80 => self.ask(now, at, &Method::Options),
            80..92 => self.update(now, at),
            92..96 => self.refer(now, at),
            _ => "talks",
        }
    }

    /// Asks for a transfer: to a number, or to another of its calls (RFC 3891).
    fn refer(&mut self, now: Instant, at: usize) -> &'static str {
        let other = self.random.below(self.calls.len() as u32) as usize;
        let is_attended = self.random.below(2) == 0 && other != at;
        let dialog = self.calls[other].dialog.as_ref().filter(|_| is_attended);
        let replaces = dialog.map_or_else(String::new, |dialog| {
            let text = |part: &Bytes| String::from_utf8_lossy(part).into_owned();
            let (id, to, from) = (text(&dialog.call_id), text(&dialog.remote_tag), text(&dialog.local_tag));
            format!("?Replaces={id}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}")
        });
        let (via, contact) = (self.via(), self.contact());
        let refer_to = format!("<sip:+442079460001@{}{replaces}>", self.sbc);
        let Some(dialog) = self.calls[at].dialog.as_mut() else { return "nothing" };
        let writer = dialog.request(&Method::Refer, &via).header(Header::Contact, contact);
        let request = finish(writer.header(Header::ReferTo, refer_to), None);
        self.send(now, at, Purpose::Other, request);
        if is_attended { "joins two calls" } else { "transfers" }
    }
}
