//! What a reload changes, for people; and what of it has to wait for a restart.

use std::collections::BTreeMap;

use super::{Config, Listener};
use crate::base::{ByRealm, Realm};
use crate::routing::{Credentials, Health, Limits, Route, TierTrunk, Timeouts, Trunk, TrunkMatch};

/// One readable line for each setting that differs. No secret is ever in it: of a password it says
/// that it changed.
pub fn diff(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (flatten(old), flatten(new));
    let mut lines = Vec::new();
    for (key, before) in &old {
        match new.get(key) {
            Some(after) if after == before => {}
            Some(after) => lines.push(match (before, after) {
                (Shown::Open(before), Shown::Open(after)) => format!("{key}: {before} → {after}"),
                (Shown::Secret(_), _) | (_, Shown::Secret(_)) => format!("{key}: changed"),
            }),
            None => lines.push(format!("{}: removed", outermost(key, &new))),
        }
    }
    for key in new.keys().filter(|key| !old.contains_key(*key)) {
        lines.push(format!("{}: added", outermost(key, &old)));
    }
    lines.sort();
    lines.dedup();
    lines
}

impl Config {
    /// Puts back from the running configuration what only a restart can change, so that the rest of
    /// a reload takes effect; gives the keys that differ, for a warning.
    pub fn keep_until_restart(&mut self, running: &Config) -> Vec<&'static str> {
        let mut kept = Vec::new();
        keep("admin.listen", &mut self.admin.listen, &running.admin.listen, &mut kept);
        self.keep_listeners(running, &mut kept);
        keep("media.ports", &mut self.media.ports, &running.media.ports, &mut kept);
        keep("media.workers", &mut self.relay.workers, &running.relay.workers, &mut kept);
        keep("media.engine", &mut self.relay.engine, &running.relay.engine, &mut kept);
        kept
    }
}

impl Config {
    /// Of listeners the certificates alone can change.
    fn keep_listeners(&mut self, running: &Config, kept: &mut Vec<&'static str>) {
        let sockets = |listeners: &[Listener]| -> Vec<Listener> {
            listeners.iter().map(|listener| Listener { tls: None, ..listener.clone() }).collect()
        };
        if sockets(&self.listeners) != sockets(&running.listeners) {
            self.listeners.clone_from(&running.listeners);
            kept.push("listener");
        }
    }
}

fn keep<T: PartialEq + Clone>(key: &'static str, new: &mut T, running: &T, kept: &mut Vec<&'static str>) {
    if new != running {
        new.clone_from(running);
        kept.push(key);
    }
}

/// A value as it may be shown.
#[derive(PartialEq)]
enum Shown {
    Open(String),
    Secret(String),
}

fn flatten(config: &Config) -> BTreeMap<String, Shown> {
    let mut flat = BTreeMap::new();
    let mut put = |key: String, value: String| {
        flat.insert(key, Shown::Open(value));
    };
    put("node.name".to_owned(), config.node.clone());
    put("node.limits".to_owned(), limits_text(config.routing.limits));
    put("admin.listen".to_owned(), config.admin.listen.to_string());
    put("admin.socket".to_owned(), config.admin.socket.display().to_string());
    for (index, listener) in config.listeners.iter().enumerate() {
        let (realm, transport) = (listener.realm, listener.transport);
        let text = format!("{realm} {transport} {} advertised as {}", listener.bind, listener.advertise);
        put(format!("listener[{}]", index + 1), text);
        if let Some(tls) = &listener.tls {
            put(format!("listener[{}].tls", index + 1), format!("{:?} {:?}", tls.files, tls.loaded));
        }
    }
    realms(config, &mut put);
    put("media.ports".to_owned(), format!("{}-{}", config.media.ports.0, config.media.ports.1));
    put("media.timeout".to_owned(), format!("{:?}", config.media.timeout));
    let workers = config.relay.workers.map_or("one a core".to_owned(), |workers| workers.to_string());
    put("media.workers".to_owned(), workers);
    put("media.engine".to_owned(), config.relay.engine.as_str().to_owned());
    put("dns.nameservers".to_owned(), list(&config.nameservers));
    put(
        "cdr.path".to_owned(),
        config.cdr.as_ref().map_or("none".to_owned(), |path| path.display().to_string()),
    );
    put("numbering".to_owned(), numbering(&config.numbering));
    for (name, value) in calls(&config.calls) {
        put(format!("calls.{name}"), value);
    }
    for (index, route) in config.routing.routes.iter().enumerate() {
        let text = format!("#{} {}", index + 1, route_text(route));
        put(format!("route.{}", route.name), text);
    }
    for trunk in &config.routing.trunks {
        flatten_trunk(trunk, &mut flat);
        if let Some((client, _)) = config.clients.get(&trunk.first_identity()) {
            flat.insert(format!("trunk.{}.tls.files", trunk.name), Shown::Open(format!("{client:?}")));
        }
    }
    flat
}

/// `from trusted to +1* over sinch, [vonage-a weight 3, vonage-b] by hash`.
fn route_text(route: &Route) -> String {
    let tier = |tier: &Vec<TierTrunk>| match tier.as_slice() {
        [alone] => alone.to_string(),
        several => format!("[{}]", list(several)),
    };
    let tiers: Vec<String> = route.tiers.iter().map(tier).collect();
    let to = if route.to.is_empty() { "everything".to_owned() } else { list(&route.to) };
    format!("from {} to {to} over {} by {}", route.from, tiers.join(", "), route.balance)
}

fn match_text(matching: &TrunkMatch) -> String {
    let TrunkMatch { to, domains, registration } = matching;
    let to = to.as_ref().map(|to| format!("to {}", list(to)));
    let domain = (!domains.is_empty()).then(|| format!("domain {}", list(domains)));
    let registration = registration.then(|| "registration".to_owned());
    let keys: Vec<String> = [to, domain, registration].into_iter().flatten().collect();
    if keys.is_empty() { "every call".to_owned() } else { keys.join(" and ") }
}

fn limits_text(limits: Limits) -> String {
    let Limits { calls, calls_per_second } = limits;
    let limit = |name, limit: Option<u32>| limit.map(|limit| format!("{name} {limit}"));
    list(&[limit("calls", calls), limit("cps", calls_per_second)].into_iter().flatten().collect::<Vec<_>>())
}

fn realms(config: &Config, put: &mut impl FnMut(String, String)) {
    let own: &ByRealm<Vec<ipnet::IpNet>> = &config.admission.allow;
    for realm in Realm::ALL {
        put(format!("realm.{realm}.allow"), list(&own[realm]));
        let rate = config.admission.rate[realm].map_or("none".to_owned(), |rate| format!("{rate} a second"));
        put(format!("realm.{realm}.rate"), rate);
        let addresses = &config.media.realms[realm].addresses;
        let text: Vec<_> = addresses.iter().map(|at| format!("{} as {}", at.bind, at.advertise)).collect();
        put(format!("realm.{realm}.media"), text.join(", "));
    }
}

fn flatten_trunk(trunk: &Trunk, flat: &mut BTreeMap<String, Shown>) {
    let key = |name: &str| format!("trunk.{}.{name}", trunk.name);
    let Trunk {
        name: _,
        realm,
        hosts,
        transport,
        tls,
        domain,
        credentials,
        authentication,
        register,
        allow,
        matching,
        send_numbers,
        prefix,
        tech_prefix,
        numbering: own_numbering,
        caller_id,
        identity,
        trust_identity,
        diversion,
        headers,
        bodies,
        srtp,
        codecs,
        failover,
        health,
        limits,
        weight,
        redirect,
        calls: own_calls,
        refer,
        enabled,
    } = trunk;
    let mut put = |name: &str, value: String| {
        flat.insert(key(name), Shown::Open(value));
    };
    put("realm", realm.to_string());
    put("hosts", format!("{hosts:?}"));
    put("transport", transport.map_or("default".to_owned(), |transport| transport.to_string()));
    put("tls", format!("{tls:?}"));
    put("domain", domain.clone());
    put("allow", list(allow));
    put("register", register.as_ref().map_or("false".to_owned(), |register| format!("{register:?}")));
    put("auth_realm", list(&authentication.realms));
    put("auth_algorithms", list(&authentication.algorithms));
    put("match", match_text(matching));
    put("send_numbers", format!("{send_numbers:?}"));
    put("strip_prefix", or_none(&prefix.strip));
    put("add_prefix", or_none(&prefix.add));
    put("tech_prefix", or_none(tech_prefix));
    put("numbering", own_numbering.as_ref().map_or("the node's".to_owned(), numbering));
    put("caller_id", format!("{caller_id:?}"));
    put("identity", format!("{identity:?}"));
    put("trust_identity", trust_identity.to_string());
    put("diversion", format!("{diversion:?}"));
    put("headers.pass", headers.pass.join(", "));
    put("headers.drop", headers.drop.join(", "));
    put("bodies.pass", bodies.pass.join(", "));
    put("srtp", format!("{srtp:?}"));
    put("codecs", codecs.join(", "));
    put("failover", format!("{failover:?}"));
    put("health", self::health(health));
    put("limits", limits_text(*limits));
    put("weight", weight.to_string());
    put("refer", format!("{refer:?}"));
    put("redirect", format!("{redirect:?}"));
    for (name, value) in own_calls.iter().flat_map(calls) {
        put(&format!("calls.{name}"), value);
    }
    put("enabled", enabled.to_string());
    // A header may carry a provider's token.
    flat.insert(key("headers.set"), Shown::Secret(format!("{:?}", headers.set)));
    if let Some(Credentials { username, password }) = credentials {
        flat.insert(key("username"), Shown::Secret(username.clone()));
        flat.insert(key("password"), Shown::Secret(password.clone()));
    }
}

fn numbering(settings: &crate::numbering::Settings) -> String {
    let short: Vec<_> = settings.short.iter().map(regex::Regex::as_str).collect();
    format!(
        "country {}, prefixes {}, short {}, emergency {}, access codes {}",
        settings.country.as_deref().unwrap_or("none"),
        settings.prefixes.join(" "),
        short.join(" "),
        settings.emergency.join(" "),
        list(&settings.access_codes)
    )
}

fn health(health: &Health) -> String {
    let Health { interval, timeout, down_after, up_after, alive } = health;
    if interval.is_zero() {
        return format!("no OPTIONS, down after {down_after} calls");
    }
    format!(
        "OPTIONS every {interval:?} within {timeout:?}, down after {down_after}, up after {up_after}, alive {alive:?}"
    )
}

fn calls(timeouts: &Timeouts) -> [(&'static str, String); 5] {
    let Timeouts { progress, answer, duration, session_expires, min_session_expires } = *timeouts;
    [
        ("progress_timeout", progress),
        ("answer_timeout", answer),
        ("max_duration", duration),
        ("session_expires", session_expires),
        ("min_session_expires", min_session_expires),
    ]
    .map(|(name, value)| (name, format!("{value:?}")))
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// What came or went with `key`: the whole trunk where the other side has nothing of it, so that it
/// is one line and not one for each key.
fn outermost<'k>(key: &'k str, there: &BTreeMap<String, Shown>) -> &'k str {
    let trunk = key.strip_prefix("trunk.").and_then(|rest| key.get(.."trunk.".len() + rest.find('.')?));
    let is_there = |trunk: &str| {
        there.keys().any(|other| other.strip_prefix(trunk).is_some_and(|rest| rest.starts_with('.')))
    };
    trunk.filter(|trunk| !is_there(trunk)).unwrap_or(key)
}
