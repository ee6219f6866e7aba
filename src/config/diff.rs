//! What a reload changes, for people; and what of it has to wait for a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Config, Listener};
use crate::base::{ByRealm, Realm};
use crate::routing::{
    CallerIdPolicy, Credentials, Failover, Health, Limits, Register, Route, TierTrunk, Timeouts, Trunk,
    TrunkMatch, TrunkTls,
};
use crate::telemetry::cdr::{CdrSettings, PostSettings};
use crate::telemetry::hep::HepSettings;
use crate::transport::ServerFiles;

/// One readable line for each setting that differs, as in `trunk sinch: hosts a.example → b.example`. No
/// secret is ever in it: of a password it says that it changed.
pub fn diff(old: &Config, new: &Config) -> Vec<String> {
    let (before, after) = (flatten(old), flatten(new));
    let nothing = BTreeMap::new();
    let owners: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut lines = Vec::new();
    for owner in owners {
        match (before.get(owner), after.get(owner)) {
            // A trunk or a route is one line, and not one for each key.
            (Some(was), None) if !owner.is_empty() => {
                let renamed = after.iter().find(|(name, is)| !before.contains_key(*name) && *is == was);
                lines.push(match renamed {
                    Some((name, _)) => format!("{owner}: renamed to {}", name_of(name)),
                    None => format!("{owner}: removed"),
                });
            }
            (None, Some(is)) if !owner.is_empty() => {
                if !before.iter().any(|(name, was)| !after.contains_key(name) && was == is) {
                    lines.push(format!("{owner}: added"));
                }
            }
            (was, is) => {
                lines.extend(differences(owner, was.unwrap_or(&nothing), is.unwrap_or(&nothing)));
            }
        }
    }
    lines.extend(reordered(old, new));
    lines
}

fn differences(owner: &str, before: &Values, after: &Values) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let line = |key: &String| {
        let what = match (before.get(key), after.get(key)) {
            (Some(Shown::Open(before)), Some(Shown::Open(after))) => format!("{before} → {after}"),
            (None, Some(Shown::Open(after))) => format!("none → {after}"),
            (Some(Shown::Open(before)), None) => format!("{before} → none"),
            (None, _) => "added".to_owned(),
            (_, None) => "removed".to_owned(),
            (_, _) => "changed".to_owned(),
        };
        if owner.is_empty() { format!("{key}: {what}") } else { format!("{owner}: {key} {what}") }
    };
    changed.map(line).collect()
}

/// The first route that matches counts, so that their order is a setting, too.
fn reordered(old: &Config, new: &Config) -> Option<String> {
    let names = |config: &Config, other: &Config| -> Vec<String> {
        let is_in = |name: &str| other.routing.routes.iter().any(|route| route.name == name);
        let routes = config.routing.routes.iter().map(|route| route.name.clone());
        routes.filter(|name| is_in(name)).collect()
    };
    let (before, after) = (names(old, new), names(new, old));
    (before != after).then(|| format!("routes: {} → {}", before.join(", "), after.join(", ")))
}

fn name_of(owner: &str) -> &str {
    owner.split_once(' ').map_or(owner, |(_, name)| name)
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
        keep("media.batch", &mut self.relay.batch, &running.relay.batch, &mut kept);
        keep("media.zero_copy", &mut self.relay.zero_copy, &running.relay.zero_copy, &mut kept);
        keep("media.busy_poll", &mut self.relay.busy_poll, &running.relay.busy_poll, &mut kept);
        keep("media.pin", &mut self.relay.pin, &running.relay.pin, &mut kept);
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
#[derive(PartialEq, Eq)]
enum Shown {
    Open(String),
    Secret(String),
}

/// The settings of a trunk, of a route, or of everything else, by their keys.
type Values = BTreeMap<String, Shown>;

/// By whose they are: `trunk sinch`, `route out`; empty for the rest.
fn flatten(config: &Config) -> BTreeMap<String, Values> {
    let mut flat = Values::new();
    let mut put = |key: String, value: String| {
        flat.insert(key, Shown::Open(value));
    };
    put("node.name".to_owned(), config.node.clone());
    put("node.limits".to_owned(), limits_text(config.routing.limits));
    put("admin.listen".to_owned(), config.admin.listen.to_string());
    let socket = config.admin.socket.as_ref();
    put("admin.socket".to_owned(), socket.map_or("none".to_owned(), |path| path.display().to_string()));
    for (index, listener) in config.listeners.iter().enumerate() {
        let (realm, transport) = (listener.realm, listener.transport);
        let text = format!("{realm} {transport} {} advertised as {}", listener.bind, listener.advertise);
        put(format!("listener[{}]", index + 1), text);
        if let Some(tls) = &listener.tls {
            let ServerFiles { certificate, key, client_ca } = &tls.files;
            let files =
                [("certificate", Some(certificate)), ("key", Some(key)), ("client_ca", client_ca.as_ref())];
            put(format!("listener[{}].tls", index + 1), files_text(&files));
        }
    }
    realms(config, &mut put);
    put("media.ports".to_owned(), format!("{}-{}", config.media.ports.0, config.media.ports.1));
    for (key, timeout) in [
        ("media.timeout", config.media.timeout),
        ("media.one_way_timeout", config.media.one_way_timeout),
        ("media.hold_timeout", config.media.hold_timeout),
    ] {
        let text = if timeout.is_zero() { "0s".to_owned() } else { format!("{timeout:?}") };
        put(key.to_owned(), text);
    }
    let workers = config.relay.workers.map_or("one a core".to_owned(), |workers| workers.to_string());
    put("media.workers".to_owned(), workers);
    put("media.engine".to_owned(), config.relay.engine.as_str().to_owned());
    put("media.batch".to_owned(), format!("{:?}", config.relay.batch));
    put("media.zero_copy".to_owned(), config.relay.zero_copy.as_str().to_owned());
    put("media.busy_poll".to_owned(), format!("{:?}", config.relay.busy_poll));
    put("media.pin".to_owned(), config.relay.pin.to_string());
    put("dns.nameservers".to_owned(), list(&config.nameservers));
    records(&config.cdr, &mut put);
    let mut hep_password = None;
    if let Some(HepSettings { collector, id, password, rtcp, node: _ }) = &config.hep {
        put("hep.collector".to_owned(), collector.to_string());
        put("hep.id".to_owned(), id.to_string());
        put("hep.rtcp".to_owned(), rtcp.to_string());
        // Shown as changed, never as it is.
        hep_password = password.clone();
    }
    put("log.filter".to_owned(), config.log.filter.clone());
    put("log.redact_numbers".to_owned(), config.log.redact_numbers.to_string());
    put("numbering".to_owned(), numbering(&config.numbering));
    for (name, value) in calls(&config.calls) {
        put(format!("calls.{name}"), value);
    }
    if let Some(PostSettings { url, headers, .. }) = &config.cdr.post {
        let secrets = Shown::Secret(format!("{} {headers:?}", url.target));
        flat.insert("cdr.post, its query and headers".to_owned(), secrets);
    }
    if let Some(password) = hep_password {
        flat.insert("hep.password".to_owned(), Shown::Secret(password));
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls {
            let read = Shown::Secret(format!("{:?}", tls.loaded));
            flat.insert(format!("listener[{}].tls, what is in the files", index + 1), read);
        }
    }
    let mut owners = BTreeMap::from([(String::new(), flat)]);
    for route in &config.routing.routes {
        owners.insert(format!("route {}", route.name), flatten_route(route));
    }
    for trunk in &config.routing.trunks {
        let mut flat = Values::new();
        flatten_trunk(trunk, &mut flat);
        if let Some((client, _)) = config.clients.get(&trunk.first_identity()) {
            flat.insert("tls.files".to_owned(), Shown::Secret(format!("{client:?}")));
        }
        owners.insert(format!("trunk {}", trunk.name), flat);
    }
    owners
}

fn flatten_route(route: &Route) -> Values {
    let Route { name: _, from, to, tiers, balance } = route;
    let to = if to.is_empty() { "everything".to_owned() } else { list(to) };
    let tier = |tier: &Vec<TierTrunk>| match tier.as_slice() {
        [alone] => alone.to_string(),
        several => format!("[{}]", list(several)),
    };
    let trunks: Vec<String> = tiers.iter().map(tier).collect();
    let values = [
        ("from", from.to_string()),
        ("to", to),
        ("trunks", trunks.join(", ")),
        ("balance", balance.to_string()),
    ];
    values.map(|(key, value)| (key.to_owned(), Shown::Open(value))).into()
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

fn records(cdr: &CdrSettings, put: &mut impl FnMut(String, String)) {
    let CdrSettings { path, journal, sync, post } = cdr;
    let file =
        |path: &Option<PathBuf>| path.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    put("cdr.path".to_owned(), file(path));
    put("cdr.journal".to_owned(), journal.as_ref().map_or("the default".to_owned(), |_| file(journal)));
    put("cdr.sync".to_owned(), format!("{sync:?}"));
    put("cdr.post".to_owned(), post.as_ref().map_or("none".to_owned(), posted));
}

/// Without the query and the values of headers, which may be secrets.
fn posted(post: &PostSettings) -> String {
    let PostSettings { url, headers, timeout, batch, spool, spool_max, tls } = post;
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        "{url} within {timeout:?}, {batch} at once, headers {}, spool {} of {spool_max} bytes{}",
        list(&names),
        spool.display(),
        tls.as_ref().map(|tls| format!(", {tls:?}")).unwrap_or_default(),
    )
}

fn flatten_trunk(trunk: &Trunk, flat: &mut Values) {
    let key = |name: &str| name.to_owned();
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
        latch,
        dtmf,
        dscp,
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
    put("hosts", list(hosts));
    put("transport", transport.map_or("default".to_owned(), |transport| transport.to_string()));
    put("tls", tls_text(tls));
    put("domain", domain.clone());
    put("allow", list(allow));
    put("register", register.as_ref().map_or("false".to_owned(), registration));
    put("auth_realm", list(&authentication.realms));
    put("auth_algorithms", list(&authentication.algorithms));
    put("match", match_text(matching));
    put("send_numbers", word(send_numbers));
    put("strip_prefix", or_none(&prefix.strip));
    put("add_prefix", or_none(&prefix.add));
    put("numbering", own_numbering.as_ref().map_or("the node's".to_owned(), numbering));
    put("caller_id", shown_caller_id(caller_id));
    put("identity", word(identity));
    put("trust_identity", trust_identity.to_string());
    put("diversion", word(diversion));
    put("headers.pass", headers.pass.join(", "));
    put("headers.drop", headers.drop.join(", "));
    put("bodies.pass", bodies.pass.join(", "));
    put("srtp", word(srtp));
    put("latch", word(latch));
    put("dtmf", word(dtmf));
    put("dscp", dscp.to_string());
    put("codecs", codecs.join(", "));
    let Failover { codes, timeout, after_ringing } = failover;
    put("failover.codes", list(codes));
    put("failover.timeout", format!("{timeout:?}"));
    put("failover.after_ringing", after_ringing.to_string());
    put("health", self::health(health));
    put("limits", limits_text(*limits));
    put("weight", weight.to_string());
    put("refer", word(refer));
    put("redirect", word(redirect));
    for (name, value) in own_calls.iter().flat_map(calls) {
        put(&format!("calls.{name}"), value);
    }
    put("enabled", enabled.to_string());
    // Some providers' are a PIN.
    if !tech_prefix.is_empty() {
        flat.insert(key("tech_prefix"), Shown::Secret(tech_prefix.clone()));
    }
    // A header may carry a provider's token.
    flat.insert(key("headers.set"), Shown::Secret(format!("{:?}", headers.set)));
    // Whoever knows it can call as the provider does.
    if let Some(user) = register.as_ref().and_then(|register| register.contact_user.clone()) {
        flat.insert(key("register.contact_user"), Shown::Secret(user));
    }
    if let Some(Credentials { username, password }) = credentials {
        flat.insert(key("username"), Shown::Secret(username.clone()));
        flat.insert(key("password"), Shown::Secret(password.clone()));
    }
}

fn tls_text(tls: &TrunkTls) -> String {
    let TrunkTls { ca, certificate, key, server_name, verify } = tls;
    let files =
        files_text(&[("ca", ca.as_ref()), ("certificate", certificate.as_ref()), ("key", key.as_ref())]);
    let server_name = server_name.as_ref().map(|name| format!(", server_name {name}")).unwrap_or_default();
    format!("({files}{server_name}, {})", if *verify { "verified" } else { "not verified" })
}

/// "certificate /a, key /b".
fn files_text(files: &[(&str, Option<&PathBuf>)]) -> String {
    let written = files.iter().filter_map(|(key, file)| file.map(|file| format!("{key} {}", file.display())));
    list(&written.collect::<Vec<_>>())
}

fn registration(register: &Register) -> String {
    let Register { expires, registrar, user, contact_user: _, to, required } = register;
    let named = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [
        Some(format!("for {expires:?} at {}", word(to))),
        named("registrar", registrar),
        named("user", user),
        required.then(|| "required".to_owned()),
    ];
    list(&parts.into_iter().flatten().collect::<Vec<_>>())
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

/// A choice, as it is written but for a dash.
fn word(choice: &impl std::fmt::Debug) -> String {
    format!("{choice:?}").to_lowercase()
}

fn shown_caller_id(policy: &CallerIdPolicy) -> String {
    let CallerIdPolicy { default, allowed, otherwise } = policy;
    let allowed = if allowed.is_empty() { "any".to_owned() } else { allowed.join(" ") };
    let default = default.as_deref().unwrap_or("none");
    format!("(default {default}, allowed {allowed}, otherwise {})", word(otherwise))
}
