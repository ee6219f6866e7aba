//! The explanation for people: a line a step, a block a trunk, a verdict, and what to do about it.
//!
//! What is taken out of a URI is unescaped (`%1b`), so it may hold what a terminal would obey: it is `shown`, not printed.

use std::collections::HashSet;

use crate::b2bua::explain::{
    Admission, Choice, ClaimStep, EntryOwner, Explanation, InviteSent, Question, Reading, RouteStep,
    TargetStep, TrunkStep, Verdict,
};
use crate::base::TrunkName;
use crate::cli::style::{Ink, Palette, shown};
use crate::numbering::Number;
use crate::routing::{Balance, Mismatch};

/// Where what is said of a step begins.
const INDENT: usize = 14;
/// No more of a route's `to` is shown than so many entries.
const PATTERNS_SHOWN_MAX: usize = 6;
/// No more names are listed that DNS was not asked for.
const NAMES_SHOWN_MAX: usize = 4;

/// The whole page.
pub(super) fn print(question: &Question, explanation: &Explanation, palette: Palette) -> String {
    let page = Page { palette };
    let mut lines = vec![String::new(), page.title(question), String::new()];
    lines.extend(page.admission(question, explanation));
    lines.extend(explanation.called.iter().flat_map(|called| page.called(called)));
    lines.extend(explanation.caller.as_ref().map(|caller| page.caller(caller, explanation)));
    lines.extend(page.routes(explanation));
    for (number, trunk) in (1..).zip(&explanation.trunks) {
        lines.push(String::new());
        lines.extend(page.trunk(number, trunk));
    }
    lines.push(String::new());
    lines.extend(page.verdict(question, explanation));
    lines.push(String::new());
    lines.join("\n") + "\n"
}

struct Page {
    palette: Palette,
}

impl Page {
    fn faint(&self, text: &str) -> String {
        self.palette.paint(Ink::Faint, text)
    }

    /// `label` in its column, then what is said.
    fn row(&self, label: &str, text: &str) -> String {
        format!("  {}{text}", self.faint(&format!("{label:<width$}", width = INDENT - 2)))
    }

    fn title(&self, question: &Question) -> String {
        let bold = |text: &str| self.palette.paint(Ink::Bold, text);
        let from = if question.from.is_empty() { "nobody" } else { &question.from };
        let (from, to) = (bold(from), bold(&question.to));
        format!("  {from} calls {to}: an INVITE from {} in the {} realm", question.source, question.realm)
    }

    fn admission(&self, question: &Question, explanation: &Explanation) -> Vec<String> {
        let Admission { entry, owner, trunk, claims, .. } = &explanation.admission;
        let Some(entry) = entry else { return self.stranger(question, explanation) };
        let by = match owner {
            Some(EntryOwner::TrunkAllow(trunk)) => format!("{entry}, in allow of trunk {trunk}"),
            Some(EntryOwner::TrunkHost(trunk, host)) if host.parse() == Ok(entry.addr()) => {
                format!("{entry}, the host of trunk {trunk}")
            }
            Some(EntryOwner::TrunkHost(trunk, host)) => format!("{entry}, {host} of trunk {trunk}"),
            Some(EntryOwner::Realm) | None => format!("{entry}, in allow of [realm.{}]", question.realm),
        };
        let heard = explanation.listener.as_ref();
        let heard = heard.map(|via| format!("heard by {} {}", via.bind, via.transport)).unwrap_or_default();
        let mut lines = vec![self.row("admitted", &format!("by {by}; {}", self.faint(&heard)))];
        match trunk {
            Some(trunk) => lines.push(self.row("from", &format!("trunk {trunk}"))),
            None => lines.push(self.row("from", "no trunk: routes from the realm alone can match")),
        }
        for claim in claims {
            let ClaimStep { trunk, is_its, because } = claim;
            let line = if *is_its { because.clone() } else { format!("not trunk {trunk}: {because}") };
            lines.push(self.row("", &self.faint(&line)));
        }
        if trunk.is_none() {
            lines.extend(self.unknown_names(question, explanation));
        }
        lines
    }

    fn stranger(&self, question: &Question, explanation: &Explanation) -> Vec<String> {
        let source = question.source.ip();
        let bad = self.palette.paint(Ink::Bad, "✗");
        let mut lines = vec![self.row("admitted", &format!("{bad} no entry of a list has {source}"))];
        if explanation.admission.is_of_other_realm {
            lines.push(self.row("", "but the other realm allows it: ask with the other --realm"));
        }
        lines.extend(self.unknown_names(question, explanation));
        lines
    }

    /// What DNS could change.
    fn unknown_names(&self, question: &Question, explanation: &Explanation) -> Vec<String> {
        let source = question.source.ip();
        let names = &explanation.admission.unknown_names;
        let line = |(trunk, host): &(crate::base::TrunkName, String)| {
            let text = format!("DNS may have it for {host} of trunk {trunk}: try --resolve {host}={source}");
            self.row("", &self.faint(&text))
        };
        names.iter().take(NAMES_SHOWN_MAX).map(line).collect()
    }

    fn called(&self, called: &Reading) -> Vec<String> {
        let Err(fault) = &called.result else { return vec![self.row("called", &self.reading(called))] };
        let bad = self.palette.paint(Ink::Bad, &format!("✗ {fault}"));
        let steps = steps_of(called);
        let mut lines = vec![self.row("called", &format!("{} {bad}", shown(&called.received)))];
        if !steps.is_empty() {
            lines.push(self.row("", &self.faint(&format!("read {steps}"))));
        }
        lines
    }

    fn caller(&self, caller: &Reading, explanation: &Explanation) -> String {
        let wish = match explanation.privacy {
            "unsaid" => String::new(),
            "declined" => "; asks to be shown (Privacy: none)".to_owned(),
            hidden => format!("; asks to be {hidden}"),
        };
        let believed =
            if explanation.is_believed { "" } else { "; only From counts: trust_identity is false" };
        let note = self.faint(&format!("{wish}{believed}"));
        let text = match &caller.fault {
            _ if caller.received.is_empty() => "nobody is named".to_owned(),
            Some(_) => {
                format!("{}  {}", shown(&caller.received), self.faint("is no number, and taken as it is"))
            }
            None => self.reading(caller),
        };
        self.row("caller", &format!("{text}{note}"))
    }

    /// `02079460000 → +442079460000  as dialled in GB`.
    fn reading(&self, reading: &Reading) -> String {
        let received = shown(&reading.received);
        let steps = self.faint(&steps_of(reading));
        let text = match &reading.result {
            Ok(Number::E164(number)) => format!("{received} → {}", self.palette.paint(Ink::Good, number)),
            Ok(number) => self.palette.paint(Ink::Good, &shown(number.as_str())),
            Err(_) => received,
        };
        if steps.is_empty() { text } else { format!("{text}  {steps}") }
    }

    fn routes(&self, explanation: &Explanation) -> Vec<String> {
        let width = explanation.routes.iter().map(|route| route.name.chars().count()).max().unwrap_or(0);
        let number = explanation.called.as_ref().and_then(|called| called.result.as_ref().ok());
        let number = shown(number.map(Number::as_str).unwrap_or_default());
        let mut lines: Vec<String> = Vec::new();
        for route in &explanation.routes {
            let label = if lines.is_empty() { "route" } else { "" };
            lines.push(self.row(label, &self.route(route, width, &number)));
        }
        lines
            .extend(explanation.choices.iter().map(|choice| self.row("", &self.choice(choice, explanation))));
        for trunk in &explanation.disabled {
            lines.push(self.row("", &self.faint(&format!("trunk {trunk} is disabled and passed over"))));
        }
        lines
    }

    fn route(&self, route: &RouteStep, width: usize, number: &str) -> String {
        let patterns: Vec<&str> = route.to.iter().take(PATTERNS_SHOWN_MAX).map(String::as_str).collect();
        let more = route.to.len().saturating_sub(PATTERNS_SHOWN_MAX);
        let more = if more > 0 { format!(" or {more} more") } else { String::new() };
        let (mark, ink, why) = match (route.mismatch, &route.pattern) {
            (Some(Mismatch::Source), _) => ("✗", Ink::Faint, format!("is for calls from {}", route.from)),
            (Some(Mismatch::Number), _) => {
                ("✗", Ink::Faint, format!("{number} is not of {}{more}", patterns.join(" ")))
            }
            (None, Some(pattern)) => ("✓", Ink::Good, format!("from {}, to {pattern}", route.from)),
            (None, None) => ("✓", Ink::Good, format!("from {}, to any number", route.from)),
        };
        let name = format!("{:<width$}", route.name);
        let why = if ink == Ink::Good { why } else { self.faint(&why) };
        format!("{} {name}  {why}", self.palette.paint(ink, mark))
    }

    /// "tier 2: one of a, b by weight 3:1; here a first".
    fn choice(&self, choice: &Choice, explanation: &Explanation) -> String {
        let (first, reserve): (Vec<_>, Vec<_>) = choice.trunks.iter().partition(|(_, weight)| *weight > 0);
        let names = |members: &[&(TrunkName, u32)]| {
            members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let weights = first.iter().map(|(_, weight)| weight.to_string()).collect::<Vec<_>>().join(":");
        let rule = match choice.balance {
            Balance::Weight => format!("by weight {weights}"),
            Balance::RoundRobin => "in turn".to_owned(),
            Balance::LeastCalls => format!("by the fewest calls for its weight {weights}"),
            Balance::Hash => format!("by the caller's number, weight {weights}"),
        };
        let is_of_it = |trunk: &&TrunkStep| trunk.tier == choice.tier;
        let chosen = explanation.trunks.iter().find(is_of_it).map(|trunk| trunk.name.as_str());
        let chosen = match chosen {
            Some(name) if choice.is_settled => format!("; {name} first for this caller"),
            Some(name) => format!("; here {name} first"),
            None => String::new(),
        };
        let spare = if reserve.is_empty() {
            String::new()
        } else {
            format!(" (weight 0, in reserve: {})", names(&reserve))
        };
        format!("tier {}: one of {} {rule}{chosen}{spare}", choice.tier, names(&first))
    }

    fn trunk(&self, number: usize, trunk: &TrunkStep) -> Vec<String> {
        let name = self.palette.paint(Ink::Bold, &format!("trunk {}", trunk.name));
        let tier = self.faint(&format!("tier {}", trunk.tier));
        let caller = &trunk.caller;
        let number_shown = shown(caller.number.as_deref().unwrap_or("nobody"));
        let told = match caller.shown {
            "own" => format!("{number_shown}, the caller's own"),
            "default" => format!("{number_shown}, caller_id.default"),
            "refused" => self.palette.paint(Ink::Bad, "refused"),
            _ if caller.number.is_some() => format!("hidden, but told {number_shown}"),
            _ => "anonymous".to_owned(),
        };
        let mut lines = vec![
            format!("  {number:>2}  {name}  {tier}"),
            format!("      {}{told}: {}", self.faint("caller id  "), shown(&caller.because)),
        ];
        for lookup in &trunk.lookups {
            let questions: Vec<String> = lookup.questions.iter().map(ToString::to_string).collect();
            let asked = questions.join(", ");
            lines.push(format!("      {}{asked}", self.faint("asks DNS   ")));
        }
        if trunk.targets.is_empty() {
            lines.push(format!("      {}", self.palette.paint(Ink::Bad, "it has no target")));
        }
        let mut before: HashSet<String> = HashSet::new();
        for target in &trunk.targets {
            lines.extend(self.target(target, &mut before));
        }
        lines
    }

    /// What is the same as for the target before is said once.
    fn target(&self, target: &TargetStep, before: &mut HashSet<String>) -> Vec<String> {
        let is_literal = target.address.is_some_and(|address| target.host == address.to_string());
        let place = if target.host.contains(':') {
            format!("[{}]:{}", target.host, target.port)
        } else {
            format!("{}:{}", target.host, target.port)
        };
        let address = match target.address {
            Some(_) if is_literal => String::new(),
            Some(address) => format!(" at {address}"),
            None => ", where DNS says".to_owned(),
        };
        let head = format!("      {}{place} {}{address}", self.faint("target     "), target.transport);
        match &target.invite {
            Err(fault) => {
                vec![head, format!("        {}", self.palette.paint(Ink::Bad, &format!("✗ {fault}")))]
            }
            Ok(invite) => {
                let by = invite.listener.as_ref().map(|via| format!(", sent from {}", via.bind));
                let head = format!("{head}{}", self.faint(&by.unwrap_or_default()));
                let text = self.invite(invite);
                if before.insert(text.join("\n")) {
                    [vec![head], text].concat()
                } else {
                    vec![head, self.faint("        the same")]
                }
            }
        }
    }

    fn invite(&self, invite: &InviteSent) -> Vec<String> {
        let request = self.palette.paint(Ink::Request, &format!("INVITE {} SIP/2.0", invite.request_uri));
        let headers = invite.headers.iter().map(|(name, value)| {
            let name = self.palette.paint(Ink::Request, name);
            format!("        {name}: {value}")
        });
        [format!("        {request}")].into_iter().chain(headers).collect()
    }

    fn verdict(&self, question: &Question, explanation: &Explanation) -> Vec<String> {
        let (mark, text) = match &explanation.verdict {
            Verdict::Routed => (self.palette.paint(Ink::Good, "✓ would be routed"), self.road(explanation)),
            Verdict::Refused { status, phrase, cause } => {
                // Of a phrase that is all there is to say, once is enough.
                let cause = if cause == phrase { String::new() } else { format!(": {cause}") };
                (self.palette.paint(Ink::Bad, &format!("✗ would be refused with {status} {phrase}")), cause)
            }
            Verdict::Dropped { cause } => {
                (self.palette.paint(Ink::Bad, "✗ would get no answer"), format!(": {cause}"))
            }
        };
        let mut lines = vec![format!("  {mark}{text}")];
        lines.extend(hint(question, explanation).map(|hint| format!("    {hint}")));
        if explanation.verdict == Verdict::Routed {
            lines.push(
                self.faint(
                    "    as on an idle node: limits and running calls are not counted, no peer answers",
                ),
            );
        }
        lines
    }

    /// "sinch, then vonage-a".
    fn road(&self, explanation: &Explanation) -> String {
        let is_tried = |trunk: &&TrunkStep| trunk.targets.iter().any(|target| target.invite.is_ok());
        let names = explanation.trunks.iter().filter(is_tried).map(|trunk| trunk.name.as_str());
        let route = explanation.routes.last().map(|route| route.name.as_str()).unwrap_or_default();
        format!(" by route {route}: {}", names.collect::<Vec<_>>().join(", then "))
    }
}

/// The steps of a reading without the last, which says the result once more.
fn steps_of(reading: &Reading) -> String {
    let is_step = |step: &&str| !step.starts_with("read as ") && !step.starts_with("refused: ");
    let steps = reading.steps.iter().map(String::as_str).filter(is_step);
    shown(&steps.collect::<Vec<_>>().join("; "))
}

/// What an operator could do about it.
fn hint(question: &Question, explanation: &Explanation) -> Option<String> {
    let source = question.source.ip();
    let trunk = explanation.admission.trunk.as_ref();
    match &explanation.verdict {
        Verdict::Dropped { .. } if explanation.listener.is_some() => Some(format!(
            "to let it in, write {source} into allow of its trunk, or into allow of [realm.{}]",
            question.realm
        )),
        Verdict::Refused { status: 404, .. } if explanation.called.is_some() => {
            let from = trunk.map_or(question.realm.as_str(), |trunk| trunk.as_str());
            let number = shown(explanation.called.as_ref()?.result.as_ref().ok()?.as_str());
            Some(format!("to let it pass, add a [[route]] with from = \"{from}\" whose to has {number}"))
        }
        Verdict::Refused { status: 484, .. } => Some(
            "numbers are read as [numbering] says, or numbering of the trunk that it came from".to_owned(),
        ),
        Verdict::Refused { status: 403, .. } => {
            let refusing = explanation.trunks.iter().find(|trunk| trunk.caller.shown == "refused")?;
            let caller = explanation.caller.as_ref()?;
            Some(format!(
                "trunk {} does not take {} as caller id: see its caller_id",
                refusing.name,
                shown(&caller.received)
            ))
        }
        _ => None,
    }
}
