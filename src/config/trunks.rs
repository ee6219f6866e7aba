//! `[trunk.*]` and `[[route]]`.

use std::time::Duration;

use super::balance::{TierDraft, read_balance, read_tier, read_weight};
use super::calls::read_calls;
use super::health::health;
use super::matching::read_match;
use super::numbers::{read_own_numbering, read_prefix, read_tech_prefix};
use super::profile;
use super::reader::{Place, Table, Text, Value};
use super::registration::{read_authentication, read_register};
use super::sections::{REALMS, section, transport};
use super::streams::{read_dscp, read_dtmf};
use super::tls::{self, ClientLoader};
use crate::b2bua;
use crate::base::{Latch, Realm, Transport};
use crate::numbering::{self, NumberForm};
use crate::routing::{
    Balance, BodyRules, CallerIdFallback, CallerIdPolicy, Credentials, DiversionForm, Failover, HeaderRules,
    Host, Identity, Limits, Redirect, Refer, Route, RouteSource, Srtp, Timeouts, Trunk, TrunkHost,
};

/// One trunk has no more hosts.
const MAX_HOSTS: usize = 64;

/// Something read, with where it stands.
pub(super) struct Placed<T> {
    pub(super) what: T,
    pub(super) place: Place,
    pub(super) path: String,
}

/// A route whose names are not looked up yet.
pub(super) struct RouteDraft {
    pub(super) name: String,
    pub(super) from: Option<Placed<RouteSource>>,
    pub(super) to: Vec<crate::routing::NumberPattern>,
    pub(super) tiers: Vec<Vec<TierDraft>>,
    pub(super) balance: Balance,
}

impl RouteDraft {
    pub(super) fn into_route(self) -> Option<Route> {
        let tier = |tier: Vec<TierDraft>| tier.into_iter().map(TierDraft::into_member).collect();
        let tiers = self.tiers.into_iter().map(tier).collect();
        Some(Route { name: self.name, from: self.from?.what, to: self.to, tiers, balance: self.balance })
    }
}

/// Reads every table below `trunk`.
pub(super) fn read_trunks(
    value: &Value<'_>,
    numbering: &numbering::Settings,
    calls: &Timeouts,
    trunks: &mut Vec<Placed<Trunk>>,
    clients: &mut ClientLoader,
) {
    let Some(table) = value.table() else { return };
    for (name, value) in table.entries() {
        let Some(table) = value.table() else { continue };
        if !is_trunk_name(name) {
            table.fault("this is no trunk name", "use letters, digits, - and _, not the name of a realm");
        }
        if let Some(other) = trunks.iter().find(|other| other.what.name.as_str() == name) {
            let (file, line) = table.report.position(&other.place);
            table.fault(
                "this trunk was there before",
                format!("see {file}:{line}; give one of them another name"),
            );
        }
        let table = profile::fill(table);
        let trunk = trunk(name, &table, numbering, calls);
        load_tls(&trunk, &table, clients);
        profile::check(&table);
        table.finish();
        trunks.push(Placed { what: trunk, place: value.key_place, path: value.path });
    }
}

/// Trunk names are metric labels, and share `from` of routes with the realms' names.
fn is_trunk_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        // A dash alone stands for "no trunk" in logs.
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && REALMS.iter().all(|(realm, _)| *realm != name)
}

fn trunk(name: &str, table: &Table<'_>, numbering: &numbering::Settings, calls: &Timeouts) -> Trunk {
    let realm = table.value("realm").and_then(|value| value.text()?.one_of(&REALMS));
    let hosts = hosts(table);
    let domain = table.value("domain").and_then(|value| domain(&value.text()?));
    let domain = domain.or_else(|| hosts.first().map(|host| host.host.uri_text())).unwrap_or_default();
    Trunk {
        name: name.into(),
        realm: realm.unwrap_or(Realm::Untrusted),
        transport: transport(table),
        tls: section(table, "tls", |own| Some(tls::trunk(own))).unwrap_or_default(),
        domain,
        credentials: credentials(table),
        authentication: read_authentication(table),
        register: read_register(table),
        allow: table.value("allow").map(|value| value.networks()).unwrap_or_default(),
        matching: section(table, "match", read_match).unwrap_or_default(),
        send_numbers: send_numbers(table).unwrap_or_default(),
        prefix: read_prefix(table),
        tech_prefix: read_tech_prefix(table),
        numbering: section(table, "numbering", |own| Some(read_own_numbering(own, numbering))),
        caller_id: section(table, "caller_id", caller_id).unwrap_or_default(),
        identity: identity(table).unwrap_or_default(),
        // A PBX says who calls; what a carrier says counts where its contract says so.
        trust_identity: table
            .value("trust_identity")
            .and_then(|value| value.boolean())
            .unwrap_or(realm == Some(Realm::Trusted)),
        diversion: diversion(table).unwrap_or_default(),
        headers: section(table, "headers", headers).unwrap_or_default(),
        bodies: section(table, "bodies", bodies).unwrap_or_default(),
        srtp: srtp(table).unwrap_or_default(),
        latch: latch(table).unwrap_or_default(),
        dtmf: read_dtmf(table).unwrap_or_default(),
        dscp: read_dscp(table).unwrap_or_default(),
        codecs: codecs(table),
        failover: section(table, "failover", failover).unwrap_or_default(),
        health: section(table, "health", health).unwrap_or_default(),
        limits: section(table, "limits", limits).unwrap_or_default(),
        weight: read_weight(table).unwrap_or(1),
        redirect: redirect(table).unwrap_or_default(),
        calls: section(table, "calls", |own| Some(read_calls(own, calls))),
        refer: refer(table).unwrap_or_default(),
        enabled: table.value("enabled").and_then(|value| value.boolean()).unwrap_or(true),
        hosts,
    }
}

/// What a TLS trunk is known by, also one for which DNS may choose TLS. Without TLS the table would give
/// a false sense of safety.
fn load_tls(trunk: &Trunk, table: &Table<'_>, clients: &mut ClientLoader) {
    let own = table.value("tls").and_then(|value| value.table());
    match (trunk.transport, own) {
        (Some(Transport::Tls), own) => {
            clients.load(trunk, own.as_ref().unwrap_or(table));
        }
        (None, Some(own)) if trunk.may_use_tls() && clients.serves_tls[trunk.realm] => {
            clients.load(trunk, &own);
        }
        (None, None) if trunk.may_use_tls() && clients.serves_tls[trunk.realm] => {
            clients.load_if_possible(trunk, table);
        }
        (_, Some(own)) => {
            own.fault("the trunk does not use TLS", "write transport = \"tls\" in the trunk, too")
        }
        (_, None) => {}
    }
}

/// `host` with `port`, or `hosts`.
fn hosts(table: &Table<'_>) -> Vec<TrunkHost> {
    let port = table.value("port").and_then(|value| port(&value));
    let single = table.value("host");
    let several = table.value("hosts");
    match (single, several) {
        (Some(single), None) => {
            let host = single.text().and_then(|text| domain_or_address(&text));
            host.map(|host| TrunkHost { host, port, priority: 1, weight: 1 }).into_iter().collect()
        }
        (None, Some(several)) => {
            let items = several.list().unwrap_or_default();
            if items.is_empty() || items.len() > MAX_HOSTS {
                several.fault("no usable number of hosts", format!("write 1 to {MAX_HOSTS} hosts"));
            }
            items.iter().filter_map(|item| listed_host(item, port)).collect()
        }
        (Some(_), Some(several)) => {
            several.fault("host is there as well", "keep one of the two");
            Vec::new()
        }
        (None, None) => {
            let cure = profile::cure(table, "host");
            let cure = cure.unwrap_or("write host = \"sip.example.com\", or an IP address");
            table.fault("host is missing", cure);
            Vec::new()
        }
    }
}

fn listed_host(item: &Value<'_>, default_port: Option<u16>) -> Option<TrunkHost> {
    let table = item.table()?;
    let host =
        table.required("host", "\"sip.example.com\"").and_then(|value| domain_or_address(&value.text()?));
    let port = table.value("port").and_then(|value| port(&value)).or(default_port);
    let small = |key| {
        table.value(key).and_then(|value| value.integer(0..=65_535)).and_then(|n| u16::try_from(n).ok())
    };
    let (priority, weight) = (small("priority").unwrap_or(1), small("weight").unwrap_or(1));
    table.finish();
    Some(TrunkHost { host: host?, port, priority, weight })
}

/// A host whose SRV records are looked up, not the name of those records itself.
fn domain_or_address(text: &Text<'_>) -> Option<Host> {
    let host = text.host()?;
    if let Host::Name(name) = &host
        && let Some(domain) = service_domain(name)
    {
        text.fault(
            "is the name of SRV records",
            format!("write \"{domain}\", without a port: its SRV records are looked up"),
        );
        return None;
    }
    Some(host)
}

/// `example.com` of `_sip._udp.example.com`.
fn service_domain(name: &str) -> Option<&str> {
    let (service, rest) = name.split_once('.')?;
    let (protocol, domain) = rest.split_once('.')?;
    (service.starts_with('_') && protocol.starts_with('_')).then_some(domain)
}

fn port(value: &Value<'_>) -> Option<u16> {
    value.integer(1..=65_535).and_then(|port| u16::try_from(port).ok())
}

fn domain(text: &Text<'_>) -> Option<String> {
    text.host().map(|host| host.uri_text())
}

fn credentials(table: &Table<'_>) -> Option<Credentials> {
    let username = table.value("username");
    let password = table.value("password");
    match (&username, &password) {
        (Some(username), None) => {
            username.fault("there is no password with it", "write password = \"${NAME}\" too");
        }
        (None, Some(password)) => {
            table.report.fault(
                &password.key_place,
                &password.path,
                "there is no username with it",
                "write username too",
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    // Each is read, whatever the other lacks: every fault is told at once.
    let username = username.as_ref().and_then(Value::text);
    let secret = password.as_ref().and_then(Value::text);
    if let (Some(password), Some(secret)) = (&password, &secret)
        && secret.text.is_empty()
    {
        password.fault("the password is empty", "write password = \"${NAME}\", or leave both out");
    }
    Some(Credentials { username: username?.text, password: secret?.text })
}

fn send_numbers(table: &Table<'_>) -> Option<NumberForm> {
    table.value("send_numbers")?.text()?.one_of(&[
        ("e164", NumberForm::E164),
        ("plain", NumberForm::Plain),
        ("national", NumberForm::National),
        ("international", NumberForm::International),
        ("as-is", NumberForm::AsIs),
    ])
}

fn identity(table: &Table<'_>) -> Option<Identity> {
    table.value("identity")?.text()?.one_of(&[
        ("from", Identity::From),
        ("pai", Identity::Pai),
        ("ppi", Identity::Ppi),
        ("rpid", Identity::Rpid),
    ])
}

fn redirect(table: &Table<'_>) -> Option<Redirect> {
    table.value("redirect")?.text()?.one_of(&[
        ("reject", Redirect::Reject),
        ("follow", Redirect::Follow),
        ("pass", Redirect::Pass),
    ])
}

fn diversion(table: &Table<'_>) -> Option<DiversionForm> {
    table.value("diversion")?.text()?.one_of(&[
        ("drop", DiversionForm::Drop),
        ("pass", DiversionForm::Pass),
        ("diversion", DiversionForm::Diversion),
        ("history-info", DiversionForm::HistoryInfo),
    ])
}

fn refer(table: &Table<'_>) -> Option<Refer> {
    table.value("refer")?.text()?.one_of(&[
        ("reject", Refer::Reject),
        ("relay", Refer::Relay),
        ("consume", Refer::Consume),
    ])
}

fn caller_id(table: &Table<'_>) -> Option<CallerIdPolicy> {
    let default = table.value("default").and_then(|value| value.text()?.e164());
    let allowed = table.value("allowed").and_then(|value| value.texts()).unwrap_or_default();
    let otherwise = table.value("otherwise");
    let fallback = otherwise.as_ref().and_then(|value| {
        value.text()?.one_of(&[
            ("default", CallerIdFallback::Default),
            ("anonymous", CallerIdFallback::Anonymous),
            ("reject", CallerIdFallback::Reject),
        ])
    });
    let otherwise = fallback.unwrap_or_default();
    let has_default = default.is_some() || table.value("default").is_some();
    if !allowed.is_empty() && otherwise == CallerIdFallback::Default && !has_default {
        table.fault(
            "numbers that are not allowed shall become the default, and there is none",
            "write default = \"+12025550123\", or otherwise = \"anonymous\" or \"reject\"",
        );
    }
    let allowed = allowed.iter().filter_map(caller_pattern).collect();
    Some(CallerIdPolicy { default, allowed, otherwise })
}

/// `+1555123*` or a whole number.
fn caller_pattern(text: &Text<'_>) -> Option<String> {
    let stem = text.text.strip_suffix('*').unwrap_or(&text.text);
    let digits = stem.strip_prefix('+').unwrap_or("x");
    let fits = digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !fits {
        text.fault("is no pattern of numbers", "write + and digits, with * at the end for all that begin so");
    }
    fits.then(|| text.text.clone())
}

fn headers(table: &Table<'_>) -> Option<HeaderRules> {
    let names = |key| -> Vec<String> {
        let texts = table.value(key).and_then(|value: Value<'_>| value.texts()).unwrap_or_default();
        texts.iter().filter_map(|text| text.header_name(true)).collect()
    };
    let (pass, drop) = (names("pass"), names("drop"));
    refuse_what_has_keys(table);
    let mut set = Vec::new();
    if let Some(rules) = table.value("set").and_then(|value| value.table()) {
        for (name, value) in rules.entries() {
            set.extend(header_to_set(name, &value));
        }
    }
    Some(HeaderRules { pass, drop, set })
}

/// Names in `pass` that no rule passes: nothing would come of them, and nobody would be told.
fn refuse_what_has_keys(table: &Table<'_>) {
    const KEYS: [(&str, &str); 6] = [
        ("P-Asserted-Identity", "write identity = \"pai\" in the trunk, and leave it out here"),
        ("P-Preferred-Identity", "write identity = \"ppi\" in the trunk, and leave it out here"),
        ("Remote-Party-ID", "write identity = \"rpid\" in the trunk, and leave it out here"),
        ("Diversion", "write diversion = \"pass\" in the trunk, and leave it out here"),
        ("History-Info", "write diversion = \"pass\" in the trunk, and leave it out here"),
        ("Privacy", "leave it out: it is always honoured"),
    ];
    for text in table.value("pass").and_then(|value| value.texts()).unwrap_or_default() {
        if let Some((_, cure)) = KEYS.iter().find(|(name, _)| text.text.eq_ignore_ascii_case(name)) {
            text.fault("is written anew for each trunk and passes by no rule", *cure);
        }
    }
}

fn bodies(table: &Table<'_>) -> Option<BodyRules> {
    let texts = table.value("pass").and_then(|value| value.texts()).unwrap_or_default();
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte))
    };
    let is_type = |text: &Text<'_>| {
        let fits = text.text == "*"
            || text.text.split_once('/').is_some_and(|(kind, subtype)| is_part(kind) && is_part(subtype));
        if !fits {
            text.fault(
                "is no media type",
                "write one as in \"application/pidf+xml\", or a pattern as in \"application/*\"",
            );
        }
        fits
    };
    Some(BodyRules { pass: texts.into_iter().filter(is_type).map(|text| text.text).collect() })
}

fn header_to_set(name: &str, value: &Value<'_>) -> Option<(String, String)> {
    let key_fault = |message, cure| value.report.fault(&value.key_place, &value.path, message, cure);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        key_fault("this is no header name", "write letters, digits and - alone");
        return None;
    }
    if !b2bua::may_set_header(name) {
        key_fault("this header belongs to the call itself", "leave it out");
        return None;
    }
    let text = value.text()?;
    // A line break would begin a header of its own.
    if text.text.chars().any(char::is_control) {
        // Not shown: it may be a token.
        value.fault("this holds a control character", "write one line");
        return None;
    }
    Some((name.to_owned(), text.text))
}

fn srtp(table: &Table<'_>) -> Option<Srtp> {
    table.value("srtp")?.text()?.one_of(&[
        ("pass", Srtp::Pass),
        ("required", Srtp::Required),
        ("refused", Srtp::Refused),
    ])
}

fn latch(table: &Table<'_>) -> Option<Latch> {
    table.value("latch")?.text()?.one_of(&[
        ("signalled", Latch::Signalled),
        ("learn", Latch::Learn),
        ("strict", Latch::Strict),
    ])
}

fn codecs(table: &Table<'_>) -> Vec<String> {
    let Some(value) = table.value("codecs") else { return Vec::new() };
    let texts = value.texts().unwrap_or_default();
    let is_name = |text: &Text<'_>| {
        let name = text.text.as_str();
        let fits = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !fits {
            text.fault("is no codec name", "write the encoding name of SDP alone, as in \"PCMU\"");
        }
        fits
    };
    texts.into_iter().filter(is_name).map(|text| text.text).collect()
}

fn failover(table: &Table<'_>) -> Option<Failover> {
    let default = Failover::default();
    let codes = table.value("codes").and_then(|value| value.texts());
    let codes = codes.map(|texts| texts.iter().filter_map(Text::code_pattern).collect());
    // Below, one lost packet ends the try (timer A begins with 500 ms); above, timer B has.
    let bounds = Duration::from_millis(500)..=Duration::from_secs(32);
    let why = "this is not between the first retransmission and the end of the transaction";
    let timeout = table.value("timeout").and_then(|value| value.duration_within(bounds, why, None));
    Some(Failover {
        codes: codes.unwrap_or(default.codes),
        timeout: timeout.unwrap_or(default.timeout),
        after_ringing: table.value("after_ringing").and_then(|value| value.boolean()).unwrap_or(false),
    })
}

pub(super) fn limits(table: &Table<'_>) -> Option<Limits> {
    let limit = |key| table.value(key).and_then(|value: Value<'_>| value.integer(1..=1_000_000));
    Some(Limits { calls: limit("calls"), calls_per_second: limit("cps") })
}

/// Reads every `[[route]]`.
pub(super) fn read_routes(value: &Value<'_>, routes: &mut Vec<Placed<RouteDraft>>) {
    for item in value.list().unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        let route = route(&table, routes.len() + 1);
        table.finish();
        routes.push(Placed { what: route, place: item.place, path: item.path });
    }
}

fn route(table: &Table<'_>, number: usize) -> RouteDraft {
    let name = table.value("name").and_then(|value| value.text()).map(|text| text.text);
    let from = table.required("from", "\"trusted\", \"untrusted\" or the name of a trunk");
    let to = table.value("to").map(|value| {
        let texts: Vec<_> = value.one_or_list().iter().filter_map(Value::text).collect();
        texts.iter().filter_map(Text::number_pattern).collect()
    });
    let trunks = table.required("trunks", "[\"name-of-a-trunk\"]");
    let tiers: Vec<_> =
        trunks.as_ref().and_then(Value::list).unwrap_or_default().iter().map(read_tier).collect();
    if let Some(trunks) = &trunks
        && trunks.is_list()
        && tiers.iter().all(Vec::is_empty)
    {
        trunks.fault("there is no trunk in it", "write [\"name-of-a-trunk\"]");
    }
    RouteDraft {
        name: name.unwrap_or_else(|| format!("route {number}")),
        from: from.and_then(|value| source(&value)),
        to: to.unwrap_or_default(),
        tiers,
        balance: read_balance(table).unwrap_or_default(),
    }
}

fn source(value: &Value<'_>) -> Option<Placed<RouteSource>> {
    let text = value.text()?;
    let realm = REALMS.iter().find(|(name, _)| *name == text.text).map(|(_, realm)| *realm);
    let what = realm.map_or_else(|| RouteSource::Trunk(text.text.as_str().into()), RouteSource::Realm);
    Some(Placed { what, place: text.place, path: text.path })
}
