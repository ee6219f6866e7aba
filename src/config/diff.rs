//! What a reload changes, for people; and what of it has to wait for a restart.

use std::collections::BTreeMap;

use super::{Config, Listener};
use crate::base::{ByRealm, Realm};
use crate::routing::{Credentials, Timeouts, Trunk};

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
        keep("admin.socket", &mut self.admin.socket, &running.admin.socket, &mut kept);
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
    put("admin.listen".to_owned(), config.admin.listen.to_string());
    let socket = config.admin.socket.as_ref();
    put("admin.socket".to_owned(), socket.map_or("none".to_owned(), |path| path.display().to_string()));
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
        let text = format!("#{} from {:?} to {:?} over {:?}", index + 1, route.from, route.to, route.tiers);
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

fn realms(config: &Config, put: &mut impl FnMut(String, String)) {
    let own: &ByRealm<Vec<ipnet::IpNet>> = &config.admission.allow;
    for realm in Realm::ALL {
        put(format!("realm.{realm}.allow"), list(&own[realm]));
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
        allow,
        send_numbers,
        numbering: own_numbering,
        caller_id,
        identity,
        trust_identity,
        diversion,
        headers,
        bodies,
        codecs,
        failover,
        limits,
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
    put("send_numbers", format!("{send_numbers:?}"));
    put("numbering", own_numbering.as_ref().map_or("the node's".to_owned(), numbering));
    put("caller_id", format!("{caller_id:?}"));
    put("identity", format!("{identity:?}"));
    put("trust_identity", trust_identity.to_string());
    put("diversion", format!("{diversion:?}"));
    put("headers.pass", headers.pass.join(", "));
    put("headers.drop", headers.drop.join(", "));
    put("bodies.pass", bodies.pass.join(", "));
    put("codecs", codecs.join(", "));
    put("failover", format!("{failover:?}"));
    put("limits", format!("{limits:?}"));
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
        "country {}, prefixes {}, short {}, emergency {}",
        settings.country.as_deref().unwrap_or("none"),
        settings.prefixes.join(" "),
        short.join(" "),
        settings.emergency.join(" ")
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
