//! The sections of `drawbridge.toml` that are neither trunks nor routes, and the order in which all
//! are read.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::de::DeTable;

use super::calls::read_calls;
use super::emergency::warn_of_missing;
use super::hep::hep as read_hep;
use super::log::log as read_log;
use super::reader::{Place, Report, Table, Text, Value};
use super::records::read_records;
use super::relay::relay as read_relay;
use super::settings::{Admin, Config, HostPort, Listener, Log, Relay};
use super::silence::{SilenceTimeouts, silence};
use super::source::{Kind, Source};
use super::tls::{self, ClientLoader, TrunkClients, absolute_path};
use super::trunks::{self, Placed};
use super::{DEFAULT_SOCKET, checks, syntax};
use crate::base::{ByRealm, Realm, Transport};
use crate::media::{MediaAddress, RealmMedia};
use crate::routing::{Host, Limits, Timeouts};
use crate::telemetry::CdrSettings;
use crate::telemetry::hep::HepSettings;
use crate::{admission, media, numbering, routing};

/// No configuration has more listeners.
const MAX_LISTENERS: usize = 64;
/// `sun_path` has 108 bytes with the zero at its end (unix(7)), and the socket is made under a longer
/// name first.
const MAX_SOCKET_BYTES: usize = 90;
/// More name servers are not asked.
const MAX_NAMESERVERS: usize = 8;
/// Messages a second of one source that begin nothing: far more than anybody's keep-alives.
const DEFAULT_RATE: u32 = 200;
/// Ports below are the system's.
const FIRST_MEDIA_PORT: u16 = 1_024;

pub(super) const REALMS: [(&str, Realm); 2] = [("trusted", Realm::Trusted), ("untrusted", Realm::Untrusted)];

/// What was read, with places where later checks need them.
pub(super) struct Draft {
    pub(super) admin: Admin,
    pub(super) listeners: Vec<Placed<Listener>>,
    /// Whether listeners were left out for their faults.
    pub(super) lacks_listeners: bool,
    pub(super) realms: ByRealm<RealmDraft>,
    pub(super) ports: Placed<(u16, u16)>,
    pub(super) trunks: Vec<Placed<routing::Trunk>>,
    pub(super) routes: Vec<Placed<trunks::RouteDraft>>,
    pub(super) calls: Timeouts,
    /// Where the first file begins, for what is missing altogether.
    pub(super) start: Place,
}

/// One `[realm.*]`.
#[derive(Default)]
pub(super) struct RealmDraft {
    pub(super) media: RealmMedia,
    /// The table, where there is one.
    pub(super) place: Option<Place>,
    pub(super) allow: Vec<ipnet::IpNet>,
    rate: Option<u32>,
}

/// Reads every file. `None` where a syntax error left nothing to check; otherwise a configuration
/// that is whole only if no fault was noted.
pub(super) fn read(sources: &[Source], report: &Report<'_>) -> Option<Config> {
    let mut trees: Vec<(usize, DeTable<'_>)> = Vec::new();
    for (index, source) in sources.iter().enumerate().filter(|(_, source)| source.kind != Kind::Profile) {
        let (tree, errors) = DeTable::parse_recoverable(&source.text);
        let faults = syntax::faults(&source.text, &errors);
        // What was understood of such a file may be another table's, so that nothing of it is looked at.
        let is_understood = faults.iter().all(|fault| fault.is_of_value);
        for fault in faults {
            report.syntax(index, fault);
        }
        trees.push((index, if is_understood { tree.into_inner() } else { DeTable::new() }));
    }
    // With a file missing, every reference into it would be a fault of its own.
    let complete = report.is_clean();
    let roots: Vec<_> = trees
        .iter()
        .map(|(source, tree)| {
            let place = Place { source: *source, span: 0..0 };
            (sources[*source].kind, Table::new("", place, tree, report))
        })
        .collect();
    read_roots(&roots, report, complete)
}

fn read_roots(roots: &[(Kind, Table<'_>)], report: &Report<'_>, complete: bool) -> Option<Config> {
    let main = roots.iter().find(|(kind, _)| *kind == Kind::Main).map(|(_, table)| table)?;
    let node = section(main, "node", node).unwrap_or_default();
    let admin = section(main, "admin", admin).unwrap_or_else(default_admin);
    let (listeners, lacks_listeners) =
        main.value("listener").map(|value| listeners(&value)).unwrap_or_default();
    let realms = section(main, "realm", realms).unwrap_or_default();
    let (ports, silence, relay) =
        section(main, "media", media).unwrap_or_else(|| media_defaults(&main.place));
    let nameservers = section(main, "dns", nameservers).unwrap_or_default();
    let numbering =
        section(main, "numbering", |table| Some(read_numbering(table, &numbering::Settings::default())));
    let numbering = numbering.unwrap_or_default();
    let calls = section(main, "calls", |table| Some(read_calls(table, &Timeouts::default())));
    let calls = calls.unwrap_or_default();
    let cdr = section(main, "cdr", |table| Some(read_records(table))).unwrap_or_default();
    let hep = section(main, "hep", read_hep).map(|hep| HepSettings { node: node.name.clone(), ..hep });
    let log = section(main, "log", read_log).unwrap_or_default();
    let mut trunks = Vec::new();
    let mut routes = Vec::new();
    let mut clients = ClientLoader::new(serves_tls(&listeners));
    for (kind, root) in roots {
        root.value("trunk")
            .into_iter()
            .for_each(|value| trunks::read_trunks(&value, &numbering, &calls, &mut trunks, &mut clients));
        root.value("route").into_iter().for_each(|value| trunks::read_routes(&value, &mut routes));
        finish_root(*kind, root);
    }
    let start = main.place.clone();
    let draft = Draft { admin, listeners, lacks_listeners, realms, ports, trunks, routes, calls, start };
    if complete {
        checks::check(&draft, report);
    }
    Some(Config {
        clients: clients.clients,
        hep,
        log,
        ..assemble(draft, node, silence, relay, numbering, nameservers, cdr)
    })
}

fn assemble(
    draft: Draft,
    node: Node,
    silence: SilenceTimeouts,
    relay: Relay,
    numbering: numbering::Settings,
    nameservers: Vec<SocketAddr>,
    cdr: CdrSettings,
) -> Config {
    let trunks: Vec<_> = draft.trunks.into_iter().map(|trunk| trunk.what).collect();
    let routes = draft.routes.into_iter().filter_map(|route| route.what.into_route()).collect();
    let mut allow = ByRealm { trusted: draft.realms.trusted.allow, untrusted: draft.realms.untrusted.allow };
    for trunk in &trunks {
        allow[trunk.realm].extend(&trunk.allow);
        let literal = trunk.hosts.iter().filter_map(|host| match host.host {
            Host::Address(address) => Some(ipnet::IpNet::from(address)),
            Host::Name(_) => None,
        });
        allow[trunk.realm].extend(literal);
    }
    let rate = ByRealm { trusted: draft.realms.trusted.rate, untrusted: draft.realms.untrusted.rate };
    let realms = ByRealm { trusted: draft.realms.trusted.media, untrusted: draft.realms.untrusted.media };
    Config {
        node: node.name,
        admin: draft.admin,
        listeners: draft.listeners.into_iter().map(|listener| listener.what).collect(),
        admission: admission::Settings { allow, rate },
        numbering,
        calls: draft.calls,
        routing: routing::Settings { trunks, routes, limits: node.limits },
        media: media::Settings {
            ports: draft.ports.what,
            timeout: silence.nothing,
            one_way_timeout: silence.one_way,
            hold_timeout: silence.hold,
            realms,
        },
        relay,
        nameservers,
        cdr,
        hep: None,
        log: Log::default(),
        clients: TrunkClients::new(),
        warnings: Vec::new(),
    }
}

/// Reads a table of this name and then faults the keys of it that nobody asked for.
pub(super) fn section<T>(
    parent: &Table<'_>,
    key: &'static str,
    read: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<T> {
    let table = parent.value(key)?.table()?;
    let read = read(&table);
    table.finish();
    read
}

/// Files in `trunks.d/` hold trunks and routes; the rest has one place.
fn finish_root(kind: Kind, root: &Table<'_>) {
    if kind == Kind::Trunks {
        let others =
            ["node", "admin", "listener", "realm", "media", "dns", "numbering", "calls", "cdr", "hep", "log"];
        for key in others {
            if let Some(value) = root.value(key) {
                root.report.fault(
                    &value.key_place,
                    key,
                    "files in trunks.d hold [trunk.*] and [[route]] alone",
                    "move it to drawbridge.toml",
                );
            }
        }
    }
    root.finish();
}

/// `[node]`.
struct Node {
    name: String,
    limits: Limits,
}

impl Default for Node {
    fn default() -> Node {
        Node { name: "drawbridge".to_owned(), limits: Limits::default() }
    }
}

fn node(table: &Table<'_>) -> Option<Node> {
    let limits = section(table, "limits", trunks::limits).unwrap_or_default();
    let name = table.value("name").and_then(|value| node_name(&value));
    Some(Node { name: name.unwrap_or_else(|| Node::default().name), limits })
}

fn node_name(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    let fits = (1..=63).contains(&name.text.len())
        && name.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !fits {
        name.fault("is no node name", "write letters, digits, - . and _ alone, as in \"sbc1\"");
    }
    fits.then_some(name.text)
}

fn default_admin() -> Admin {
    Admin {
        listen: SocketAddr::from(([127, 0, 0, 1], 9_060)),
        socket: Some(PathBuf::from(DEFAULT_SOCKET)),
        needs_socket: false,
    }
}

fn admin(table: &Table<'_>) -> Option<Admin> {
    let default = default_admin();
    let listen = table.value("listen").and_then(|value| value.text()?.socket_address(None));
    let listen = listen.unwrap_or(default.listen);
    Some(match table.value("socket") {
        Some(value) => {
            Admin { listen, socket: value.text().and_then(|text| socket(&text)), needs_socket: true }
        }
        None => Admin { listen, ..default },
    })
}

/// Where the admin socket is to be; `None`: nowhere, or a fault was noted.
pub(super) fn socket(text: &Text<'_>) -> Option<PathBuf> {
    if text.text.is_empty() {
        return None;
    }
    if text.text.len() > MAX_SOCKET_BYTES {
        text.fault("is too long for a socket", format!("write a path of at most {MAX_SOCKET_BYTES} bytes"));
        return None;
    }
    absolute_path(text)
}

/// And whether some were left out for their faults.
fn listeners(value: &Value<'_>) -> (Vec<Placed<Listener>>, bool) {
    let items = value.list().unwrap_or_default();
    if items.len() > MAX_LISTENERS {
        value.fault("too many listeners", format!("write at most {MAX_LISTENERS}"));
    }
    let listeners: Vec<_> = items.iter().filter_map(listener).collect();
    let lacks = listeners.len() < items.len();
    (listeners, lacks)
}

fn listener(value: &Value<'_>) -> Option<Placed<Listener>> {
    let table = value.table()?;
    let realm = table
        .required("realm", "\"trusted\" or \"untrusted\"")
        .and_then(|value| value.text()?.one_of(&REALMS));
    let transport = transport(&table).unwrap_or(Transport::Udp);
    let tls = tls::listener(&table, transport);
    let bind_value = table.required("bind", "\"192.0.2.7:5060\"");
    let bind = bind_value.as_ref().and_then(|value| value.text()?.socket_address(None));
    if let (Some(value), Some(bind)) = (&bind_value, bind)
        && bind.port() == 0
    {
        value.fault("port 0 is no port that peers can know", "write a port, as in 5060");
    }
    let advertise = table.value("advertise");
    if advertise.is_none()
        && let (Some(value), Some(bind)) = (&bind_value, bind)
        && bind.ip().is_unspecified()
    {
        value.fault(
            "nobody can send to this address",
            "write what Via and Contact shall say as advertise = \"203.0.113.5:5060\"",
        );
    }
    let port = bind.map_or(5060, |bind| bind.port());
    let advertise = advertise.map(|value| value.text()?.host_port(port));
    table.finish();
    let bind = bind?;
    let (host, port) = match advertise {
        Some(advertise) => advertise?,
        None => (Host::Address(bind.ip()), bind.port()),
    };
    let listener = Listener { realm: realm?, transport, bind, advertise: HostPort { host, port }, tls };
    Some(Placed { what: listener, place: bind_value?.place, path: value.path.clone() })
}

/// The transport of a listener or a trunk.
pub(super) fn transport(table: &Table<'_>) -> Option<Transport> {
    let value = table.value("transport")?;
    let choices =
        [Transport::Udp, Transport::Tcp, Transport::Tls].map(|transport| (transport.as_str(), transport));
    value.text()?.one_of(&choices)
}

fn realms(table: &Table<'_>) -> Option<ByRealm<RealmDraft>> {
    Some(ByRealm { trusted: realm(table, "trusted"), untrusted: realm(table, "untrusted") })
}

fn realm(parent: &Table<'_>, name: &'static str) -> RealmDraft {
    let read = section(parent, name, |table| {
        let allow = table.value("allow").map(|value| value.networks()).unwrap_or_default();
        let rate = table.value("rate").and_then(|value| value.integer(0..=1_000_000));
        let rate = Some(rate.unwrap_or(DEFAULT_RATE)).filter(|rate| *rate > 0);
        Some(RealmDraft { media: realm_media(table), place: Some(table.place.clone()), allow, rate })
    });
    read.unwrap_or_default()
}

fn realm_media(table: &Table<'_>) -> RealmMedia {
    let binds = media_addresses(table, "media_bind");
    let advertised = media_addresses(table, "media_advertise");
    for (text, address) in &advertised {
        if !binds.iter().any(|(_, bind)| bind.is_ipv6() == address.is_ipv6()) {
            text.fault(
                "is of a family that media_bind has not",
                "add an address of its family to media_bind",
            );
        }
    }
    let advertise = |bind: IpAddr| {
        let other = advertised.iter().find(|(_, address)| address.is_ipv6() == bind.is_ipv6());
        other.map_or(bind, |(_, address)| *address)
    };
    let address = |(text, bind): &(Text<'_>, IpAddr)| {
        let advertise = advertise(*bind);
        if advertise.is_unspecified() {
            text.fault("cannot be sent to", "write the address that SDP shall say as media_advertise");
        }
        MediaAddress { bind: *bind, advertise }
    };
    RealmMedia { addresses: binds.iter().map(address).collect() }
}

/// At most one address of each family.
fn media_addresses<'a>(table: &Table<'a>, key: &'static str) -> Vec<(Text<'a>, IpAddr)> {
    let mut addresses: Vec<(Text<'a>, IpAddr)> = Vec::new();
    for value in table.value(key).map(|value| value.one_or_list()).unwrap_or_default() {
        let Some(text) = value.text() else { continue };
        let Some(address) = text.address() else { continue };
        if addresses.iter().any(|(_, other)| other.is_ipv6() == address.is_ipv6()) {
            text.fault("is a second address of its family", "write at most one IPv4 and one IPv6 address");
        } else {
            addresses.push((text, address));
        }
    }
    addresses
}

type MediaDraft = (Placed<(u16, u16)>, SilenceTimeouts, Relay);

fn media_defaults(place: &Place) -> MediaDraft {
    let ports = Placed { what: (10_000, 19_999), place: place.clone(), path: "media.ports".to_owned() };
    (ports, SilenceTimeouts::default(), Relay::default())
}

fn media(table: &Table<'_>) -> Option<MediaDraft> {
    let (mut ports, _, _) = media_defaults(&table.place);
    if let Some(value) = table.value("ports") {
        ports.place = value.place.clone();
        ports.what = value.text().and_then(|text| port_range(&text)).unwrap_or(ports.what);
    }
    Some((ports, silence(table), read_relay(table)))
}

/// `"10000-20000"`: the even ports from the first on, each with the odd one above it, up to the last.
fn port_range(text: &Text<'_>) -> Option<(u16, u16)> {
    let parsed = text.text.split_once('-').and_then(|(first, last)| {
        Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?))
    });
    let Some((first, last)) = parsed else {
        text.fault("is no port range", "write it as \"10000-20000\"");
        return None;
    };
    if first < FIRST_MEDIA_PORT {
        text.fault("begins among the system's ports", format!("begin at {FIRST_MEDIA_PORT} or above"));
        return None;
    }
    let even = first.saturating_add(first % 2);
    let odd = if last % 2 == 1 { last } else { last.saturating_sub(1) };
    if even >= odd {
        text.fault(
            "has no even port with the odd one above it",
            "write the lower port first, as in \"10000-20000\"",
        );
        return None;
    }
    Some((even, odd))
}

fn nameservers(table: &Table<'_>) -> Option<Vec<SocketAddr>> {
    let value = table.value("nameservers")?;
    let texts = value.texts()?;
    if texts.len() > MAX_NAMESERVERS {
        value.fault("these are too many", format!("write at most {MAX_NAMESERVERS}: they are asked in turn"));
    }
    Some(texts.iter().filter_map(|text| text.socket_address(Some(53))).collect())
}

/// Which realms have a TLS listener.
fn serves_tls(listeners: &[Placed<Listener>]) -> ByRealm<bool> {
    let mut serves = ByRealm::default();
    for listener in listeners.iter().filter(|listener| listener.what.transport == Transport::Tls) {
        serves[listener.what.realm] = true;
    }
    serves
}

/// `[numbering]`, or a trunk's own over the node's.
pub(super) fn read_numbering(table: &Table<'_>, base: &numbering::Settings) -> numbering::Settings {
    let mut settings = base.clone();
    let country = table.value("country");
    if let Some(text) = country.as_ref().and_then(Value::text) {
        let code = text.text.to_ascii_uppercase();
        if numbering::is_country(&code) {
            settings.country = Some(code);
        } else {
            text.fault(
                "is no country with a numbering plan",
                "write the two letters of ISO 3166, as in \"US\"",
            );
        }
    }
    if let Some(texts) = table.value("prefixes").and_then(|value| value.texts()) {
        settings.prefixes = digit_strings(texts, "is no international prefix", "\"00\"");
    }
    if let Some(texts) = table.value("emergency").and_then(|value| value.texts()) {
        settings.emergency = digit_strings(texts, "is no emergency number", "\"112\"");
    }
    if let Some(texts) = table.value("short").and_then(|value| value.texts()) {
        settings.short = texts.iter().filter_map(|text| text.whole_pattern(&text.text)).collect();
    }
    if let Some(country) = &country {
        warn_of_missing(country, &settings);
    }
    settings
}

fn digit_strings(texts: Vec<Text<'_>>, wrong: &str, example: &str) -> Vec<String> {
    let is_digits = |text: &Text<'_>| {
        let fits = (1..=15).contains(&text.text.len()) && text.text.bytes().all(|byte| byte.is_ascii_digit());
        if !fits {
            text.fault(wrong, format!("write digits alone, as in {example}"));
        }
        fits
    };
    texts.into_iter().filter(is_digits).map(|text| text.text).collect()
}
