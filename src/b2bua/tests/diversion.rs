//! Who diverted a call, as a trunk is told (RFC 5806, RFC 7044, RFC 7544).

use super::identity_policy::{carried, from};
use super::lab::*;
use crate::b2bua::Settings;
use crate::numbering::NumberForm;
use crate::routing::DiversionForm;
use crate::sip::{Header, Message};

const FROM: &str = "\"Caller\" <sip:+14155550100@10.0.0.9:5060>";

fn carrier(diversion: DiversionForm) -> Settings {
    let mut settings = settings();
    settings.routing.trunks[1].diversion = diversion;
    settings
}

/// What carrier A is told of a call with these headers.
fn told(settings: Settings, more: &[(Header, &str)]) -> Vec<String> {
    lines(&carried(&mut Lab::with(settings), &from(FROM, "+442079460000", more)))
}

fn lines(message: &Message) -> Vec<String> {
    let is_diversion = |header| matches!(header, Header::Diversion | Header::HistoryInfo);
    let fields = message.fields().filter(|field| is_diversion(field.header));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.map(|field| format!("{}: {}", text(field.name), text(field.value))).collect()
}

const DIVERSIONS: &[(Header, &str)] = &[
    (
        Header::Diversion,
        "\"Desk\" <sip:+14155550122@10.0.0.9:5060;user=phone>;reason=No-Answer;counter=1;limit=3;screen=no;privacy=off",
    ),
    (Header::Diversion, "<tel:+1-415-555-0111>;reason=\"user-busy\";privacy=\"full\", <sip:200@pbx.local>"),
];

const HISTORY: &[(Header, &str)] = &[
    (Header::HistoryInfo, "<sip:+14155550111@pbx.local?Privacy=history>;index=1"),
    (Header::HistoryInfo, "<sip:14155550122@10.0.0.9;cause=486?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1"),
    (
        Header::HistoryInfo,
        "<sip:room@10.0.0.9;cause=380>;index=1.1.1;mp=1.1, <sip:x@10.0.0.9>;index=1.1.2;rc=1.1",
    ),
    (Header::HistoryInfo, "<sip:+442079460000@10.0.0.5;cause=408>;index=1.1.3;mp=1.1"),
];

#[test]
fn by_default_nobody_is_told_who_diverted_a_call() {
    assert!(told(carrier(DiversionForm::Drop), DIVERSIONS).is_empty());
    assert!(told(carrier(DiversionForm::Drop), HISTORY).is_empty());
    let mut all = carrier(DiversionForm::Drop);
    all.routing.trunks[1].headers.pass = vec!["*".to_owned()];
    assert!(told(all, DIVERSIONS).is_empty(), "no header rule lets the other network's hosts cross");
}

#[test]
fn diversions_pass_in_the_trunks_number_form_and_at_its_domain() {
    let mut settings = carrier(DiversionForm::Diversion);
    settings.routing.trunks[1].send_numbers = NumberForm::Plain;
    settings.routing.trunks[1].trust_identity = true;
    let expected = [
        "Diversion: <sip:14155550122@carrier-a.example>;reason=no-answer;counter=1;privacy=off",
        "Diversion: <sip:14155550111@carrier-a.example>;reason=user-busy;counter=1;privacy=full",
        "Diversion: <sip:200@carrier-a.example>;reason=unknown;counter=1;privacy=off",
    ];
    assert_eq!(told(settings.clone(), DIVERSIONS), expected);
    settings.routing.trunks[1].diversion = DiversionForm::Pass;
    assert_eq!(told(settings, DIVERSIONS), expected);
}

#[test]
fn history_becomes_diversions_and_diversions_become_history() {
    let mut settings = carrier(DiversionForm::Diversion);
    settings.routing.trunks[1].trust_identity = true;
    assert_eq!(
        told(settings.clone(), HISTORY),
        [
            "Diversion: <sip:+14155550122@carrier-a.example>;reason=no-answer;counter=1;privacy=off",
            "Diversion: <sip:+14155550111@carrier-a.example>;reason=user-busy;counter=1;privacy=full",
        ]
    );
    settings.routing.trunks[1].diversion = DiversionForm::HistoryInfo;
    let history = [
        "History-Info: <sip:+14155550111@carrier-a.example?Privacy=history>;index=1",
        "History-Info: <sip:+14155550122@carrier-a.example;cause=486>;index=1.1;mp=1",
        "History-Info: <sip:+442079460000@carrier-a.example;cause=408>;index=1.1.1;mp=1.1",
    ];
    let two = [DIVERSIONS[0], (Header::Diversion, "<tel:+1-415-555-0111>;reason=user-busy;privacy=full")];
    assert_eq!(told(settings.clone(), &two), history);
    settings.routing.trunks[1].diversion = DiversionForm::Pass;
    assert_eq!(told(settings, HISTORY), history);
}

#[test]
fn what_a_counter_stands_for_is_in_the_history_too() {
    let one = [(Header::Diversion, "<sip:+14155550111@h>;reason=deflection;counter=3")];
    assert_eq!(
        told(carrier(DiversionForm::HistoryInfo), &one),
        [
            "History-Info: <sip:unknown@unknown.invalid>;index=1",
            "History-Info: <sip:unknown@unknown.invalid;cause=404>;index=1.1;mp=1",
            "History-Info: <sip:+14155550111@carrier-a.example;cause=404>;index=1.1.1;mp=1.1",
            "History-Info: <sip:+442079460000@carrier-a.example;cause=487>;index=1.1.1.1;mp=1.1.1",
        ]
    );
}

#[test]
fn who_diverted_in_private_is_not_named_outside_the_trust_domain() {
    let anonymous = "sip:anonymous@anonymous.invalid";
    let one = [(Header::Diversion, "<sip:+14155550111@h>;reason=away;privacy=full")];
    let all = [(Header::Diversion, "<sip:+14155550111@h>;reason=away"), (Header::Privacy, "history")];
    for more in [&one[..], &all[..]] {
        assert_eq!(
            told(carrier(DiversionForm::Diversion), more),
            [format!("Diversion: <{anonymous}>;reason=away;counter=1;privacy=full")]
        );
        let history = told(carrier(DiversionForm::HistoryInfo), more);
        assert_eq!(history[0], format!("History-Info: <{anonymous}?Privacy=history>;index=1"));
    }
}

#[test]
fn what_an_untrusted_peer_says_of_diversions_is_not_believed() {
    let mut settings = carrier(DiversionForm::Pass);
    settings.routing.trunks[0].trust_identity = false;
    assert!(told(settings.clone(), DIVERSIONS).is_empty());
    assert!(told(settings, HISTORY).is_empty());
}

#[test]
fn the_list_has_an_end_and_junk_in_it_is_passed_over() {
    let many: Vec<_> = (10..40).map(|at| format!("<sip:+141555501{at}@h>;reason=away")).collect();
    let many = many.join(", ");
    assert_eq!(told(carrier(DiversionForm::Diversion), &[(Header::Diversion, &many)]).len(), 8);
    assert_eq!(told(carrier(DiversionForm::HistoryInfo), &[(Header::Diversion, &many)]).len(), 9);
    let entry = |at: usize| format!("<sip:+1415555{:04}@h;cause=302>;index=1.{at}", 1_000 + at);
    let history = |entries: usize| (1..=entries).map(entry).collect::<Vec<_>>().join(", ");
    assert_eq!(told(carrier(DiversionForm::Pass), &[(Header::HistoryInfo, &history(32))]).len(), 9);
    assert!(told(carrier(DiversionForm::Pass), &[(Header::HistoryInfo, &history(33))]).is_empty());
    let junk =
        [(Header::Diversion, "<nothing, <sip:+14155550111@h>;counter=999999999999;reason=odd, <http://x>")];
    for line in told(carrier(DiversionForm::Diversion), &junk) {
        assert!(line.contains("reason=unknown;counter=1;privacy=off"), "{line}");
    }
}
