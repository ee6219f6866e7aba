//! `match` of a trunk: which calls are its own where another trunk has the same source; and the check
//! that no two trunks are left of which nobody could say whose a call is.

use std::collections::HashSet;

use super::reader::{Report, Table, Text, Value};
use super::sections::Draft;
use super::trunks::Placed;
use crate::routing::{self, Ambiguity, Trunk, TrunkMatch};

/// No `match` has more numbers or domains.
const MAX_ENTRIES: usize = 1_000;
/// Of so many pairs of trunks it is told that nothing tells them apart; more of a crowd at one provider help nobody.
const MAX_PAIRS: usize = 200;

/// Reads the table.
pub(super) fn read_match(table: &Table<'_>) -> Option<TrunkMatch> {
    let to = table.value("to").map(|value| {
        let texts: Vec<_> = value.one_or_list().iter().filter_map(Value::text).collect();
        if texts.len() > MAX_ENTRIES {
            value.fault(
                "too many numbers",
                format!("write at most {MAX_ENTRIES}, or patterns as in \"+1555*\""),
            );
        }
        texts.iter().filter_map(Text::number_pattern).collect()
    });
    let domains = table.value("domain").map(|value| {
        let texts: Vec<_> = value.one_or_list().iter().filter_map(Value::text).collect();
        if texts.is_empty() || texts.len() > MAX_ENTRIES {
            value.fault("no usable number of domains", format!("write 1 to {MAX_ENTRIES} domains"));
        }
        texts.iter().filter_map(|text| text.host().map(|host| host.uri_text())).collect()
    });
    let registration = table.value("registration").and_then(|value| value.boolean());
    if table.value("to").is_none() && domains.is_none() && registration != Some(true) {
        table.fault(
            "nothing is to match",
            "write to = [\"+1555*\"], domain = [\"a.example\"] or registration = true",
        );
    }
    Some(TrunkMatch { to, domains: domains.unwrap_or_default(), registration: registration.unwrap_or(false) })
}

/// Of each source it must be clear whose its calls are.
pub(super) fn sources_are_distinct(draft: &Draft, report: &Report<'_>) {
    let trunks = draft.trunks.iter().map(|trunk| trunk.what.clone()).collect();
    let mut told = HashSet::new();
    for found in routing::ambiguities(&routing::Settings { trunks, ..routing::Settings::default() }) {
        let Ambiguity { source, first, second, by_port, .. } = &found;
        // Two of one name are told of elsewhere.
        if first == second {
            continue;
        }
        // Once for a pair, however many sources they share.
        if !told.insert((first.clone(), second.clone())) {
            continue;
        }
        if told.len() > MAX_PAIRS {
            break;
        }
        let of_name =
            |name: &crate::base::TrunkName| draft.trunks.iter().find(|trunk| trunk.what.name == *name);
        let (Some(one), Some(other)) = (of_name(first), of_name(second)) else { continue };
        let is_off = !one.what.enabled || !other.what.enabled;
        if *by_port || is_off {
            let unless = if *by_port { " unless their source port says otherwise" } else { "" };
            let message =
                format!("calls from {source} are taken for trunk {first}, which has this source too{unless}");
            report.warn(&other.place, &other.path, message, cure(one, other));
        } else {
            let message =
                format!("calls from {source} could be trunk {first}'s as well: nothing tells the two apart");
            report.fault(&other.place, &other.path, message, cure(one, other));
        }
    }
}

fn cure(one: &Placed<Trunk>, other: &Placed<Trunk>) -> String {
    let (first, second) = (&one.what.name, &other.what.name);
    if one.what.matching.is_open() && other.what.matching.is_open() {
        format!(
            "write in {second} which are its calls: match = {{ to = [\"+1555*\"] }}, {{ domain = [\"…\"] }}, or \
             {{ to = [] }} if it takes none"
        )
    } else {
        format!("let match of {first} and {second} name different numbers or domains")
    }
}
