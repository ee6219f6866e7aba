//! The explanation for machines. Keys stay, and may become more.

use serde::Serialize;
use serde_json::{Value, json};

use crate::b2bua::explain::{
    Choice, ClaimStep, EntryOwner, Explanation, InviteSent, LookupStep, Question, Reading, RouteStep,
    TargetStep, TrunkStep, Verdict, Via,
};
use crate::base::TrunkName;
use crate::config::Fault;
use crate::numbering::Number;
use crate::routing::Mismatch;

/// The whole explanation.
pub(super) fn print(question: &Question, explanation: &Explanation) -> String {
    let admission = &explanation.admission;
    let unknown = admission.unknown_names.iter();
    let unknown = unknown.map(|(trunk, host)| json!({ "trunk": trunk.as_str(), "host": host }));
    pretty(&json!({
        "question": {
            "realm": question.realm.as_str(),
            "source": question.source.to_string(),
            "from": question.from,
            "to": question.to,
        },
        "admission": {
            "admitted": admission.entry.is_some(),
            "entry": admission.entry.map(|entry| entry.to_string()),
            "by": admission.owner.as_ref().map(owner),
            "trunk": admission.trunk.as_ref().map(TrunkName::as_str),
            "also_claimed_by": admission.claims.iter().find(|claim| !claim.is_its).map(|claim| claim.trunk.as_str()),
            "claims": admission.claims.iter().map(claim).collect::<Vec<_>>(),
            "allowed_in_other_realm": admission.is_of_other_realm,
            "names_not_looked_up": unknown.collect::<Vec<_>>(),
            "listener": explanation.listener.as_ref().map(via),
        },
        "called": explanation.called.as_ref().map(reading),
        "caller": explanation.caller.as_ref().map(reading),
        "identity_believed": explanation.is_believed,
        "privacy": explanation.privacy,
        "routes": explanation.routes.iter().map(route).collect::<Vec<_>>(),
        "disabled_trunks": explanation.disabled.iter().map(TrunkName::as_str).collect::<Vec<_>>(),
        "choices": explanation.choices.iter().map(choice).collect::<Vec<_>>(),
        "trunks": explanation.trunks.iter().map(trunk).collect::<Vec<_>>(),
        "verdict": verdict(&explanation.verdict),
    }))
}

/// A configuration that no call could be asked about.
pub(super) fn faults(faults: &[Fault]) -> String {
    pretty(
        &json!({ "verdict": { "routed": false, "cause": "the configuration is invalid" }, "faults": faults }),
    )
}

fn pretty(value: &impl Serialize) -> String {
    // Strings and numbers can always be written.
    serde_json::to_string_pretty(value).map_or_else(|error| error.to_string(), |json| json + "\n")
}

fn via(via: &Via) -> Value {
    json!({ "bind": via.bind.to_string(), "transport": via.transport.as_str() })
}

fn owner(owner: &EntryOwner) -> Value {
    match owner {
        EntryOwner::Realm => json!({ "list": "realm" }),
        EntryOwner::TrunkAllow(trunk) => json!({ "list": "trunk.allow", "trunk": trunk.as_str() }),
        EntryOwner::TrunkHost(trunk, host) => {
            json!({ "list": "trunk.host", "trunk": trunk.as_str(), "host": host })
        }
    }
}

fn claim(claim: &ClaimStep) -> Value {
    json!({ "trunk": claim.trunk.as_str(), "is_its": claim.is_its, "because": claim.because })
}

fn reading(reading: &Reading) -> Value {
    let kind = reading.result.as_ref().ok().map(|number| match number {
        Number::E164(_) => "e164",
        Number::Short(_) => "short",
        Number::Emergency(_) => "emergency",
        Number::Name(_) => "name",
    });
    json!({
        "received": reading.received,
        "number": reading.result.as_ref().ok().map(Number::as_str),
        "kind": kind,
        "fault": reading.fault,
        "steps": reading.steps,
    })
}

fn route(route: &RouteStep) -> Value {
    let mismatch = route.mismatch.map(|mismatch| match mismatch {
        Mismatch::Source => "from",
        Mismatch::Number => "to",
    });
    json!({
        "name": route.name,
        "from": route.from,
        "to": route.to,
        "matches": route.mismatch.is_none(),
        "mismatch": mismatch,
        "pattern": route.pattern,
    })
}

fn choice(choice: &Choice) -> Value {
    let trunks =
        choice.trunks.iter().map(|(name, weight)| json!({ "name": name.as_str(), "weight": weight }));
    json!({
        "tier": choice.tier,
        "balance": choice.balance.as_str(),
        "trunks": trunks.collect::<Vec<_>>(),
        "settled": choice.is_settled,
    })
}

fn trunk(trunk: &TrunkStep) -> Value {
    let caller = &trunk.caller;
    json!({
        "name": trunk.name.as_str(),
        "tier": trunk.tier,
        "caller_id": { "shown": caller.shown, "number": caller.number, "because": caller.because },
        "lookups": trunk.lookups.iter().map(lookups).collect::<Vec<_>>(),
        "targets": trunk.targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn lookups(step: &LookupStep) -> Value {
    let questions = step.questions.iter();
    let questions = questions.map(|asked| json!({ "kind": asked.kind.as_str(), "name": asked.name }));
    json!({ "host": step.host, "questions": questions.collect::<Vec<_>>() })
}

fn target(target: &TargetStep) -> Value {
    json!({
        "host": target.host,
        "address": target.address.map(|address| address.to_string()),
        "port": target.port,
        "transport": target.transport.as_str(),
        "invite": target.invite.as_ref().ok().map(invite),
        "not_sent": target.invite.as_ref().err(),
    })
}

fn invite(invite: &InviteSent) -> Value {
    let headers = invite.headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "listener": invite.listener.as_ref().map(via),
        "request_uri": invite.request_uri,
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Routed => json!({ "routed": true, "status": null, "cause": null }),
        Verdict::Refused { status, phrase, cause } => {
            json!({ "routed": false, "status": status, "phrase": phrase, "cause": cause })
        }
        Verdict::Dropped { cause } => json!({ "routed": false, "status": null, "cause": cause }),
    }
}
