//! `tls` of a listener and of a trunk: the paths, and the certificates that stand behind them. A
//! file that cannot be used is a fault like any other, so that a reload takes all of it or nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::{Table, Text, Value};
use crate::base::{ByRealm, PeerIdentity, Transport};
use crate::routing::{Trunk, TrunkHost, TrunkTls, host_text};
use crate::transport::{ClientFiles, ClientTls, ServerFiles, ServerTls, TlsFault, is_server_name};

/// A listener's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerTls {
    /// Where it is.
    pub files: ServerFiles,
    /// What was there when the configuration was read.
    pub loaded: ServerTls,
}

/// Whom connections to trunks must lead to, and how that is found out.
pub type TrunkClients = BTreeMap<PeerIdentity, (ClientTls, String)>;

const EXAMPLE: &str =
    "tls = { certificate = \"/etc/drawbridge/tls/sbc.pem\", key = \"/etc/drawbridge/tls/sbc.key\" }";

/// `tls` of a listener of this transport.
pub(super) fn listener(listener: &Table<'_>, transport: Transport) -> Option<ListenerTls> {
    let value = listener.value("tls");
    match (value, transport) {
        (None, Transport::Udp | Transport::Tcp) => None,
        (None, Transport::Tls) => {
            listener.fault("a TLS listener needs a certificate", format!("write {EXAMPLE}"));
            None
        }
        (Some(value), Transport::Udp | Transport::Tcp) => {
            value.fault(
                format!("a listener of transport {transport} has no certificate"),
                "leave tls out, or write transport = \"tls\"",
            );
            None
        }
        (Some(value), Transport::Tls) => server(&value),
    }
}

fn server(value: &Value<'_>) -> Option<ListenerTls> {
    let table = value.table()?;
    let certificate = table.required("certificate", "\"/etc/drawbridge/tls/sbc.pem\"");
    let key = table.required("key", "\"/etc/drawbridge/tls/sbc.key\"");
    let client_ca = table.value("client_ca");
    table.finish();
    let wants_client_ca = client_ca.is_some();
    let client_ca = client_ca.and_then(|value| path(&value));
    let files = ServerFiles { certificate: path(&certificate?)?, key: path(&key?)?, client_ca };
    if wants_client_ca && files.client_ca.is_none() {
        return None;
    }
    let loaded = ServerTls::load(&files).map_err(|fault| note(&table, fault)).ok()?;
    if loaded.exposed_key {
        warn_of_exposed_key(&table);
    }
    warn_of_unreadable(&table, [&files.certificate, &files.key].into_iter().chain(&files.client_ca));
    Some(ListenerTls { files, loaded })
}

/// `tls` of a trunk.
pub(super) fn trunk(table: &Table<'_>) -> TrunkTls {
    let (own_certificate, own_key) = (table.value("certificate"), table.value("key"));
    match (&own_certificate, &own_key) {
        (Some(certificate), None) => {
            certificate.fault("there is no key with it", "write key = \"/path\" too")
        }
        (None, Some(key)) => {
            key.fault("there is no certificate with it", "write certificate = \"/path\" too")
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let server_name = table.value("server_name").and_then(|value| value.text()).filter(|name| {
        let fits = is_server_name(&name.text);
        if !fits {
            name.fault("is no name of a certificate", "write a domain name or an IP address");
        }
        fits
    });
    let verify = table.value("verify").and_then(|value| value.boolean()).unwrap_or(true);
    TrunkTls {
        ca: table.value("ca").and_then(|value| path(&value)),
        certificate: own_certificate.and_then(|value| path(&value)),
        key: own_key.and_then(|value| path(&value)),
        server_name: server_name.map(|name| name.text),
        verify,
    }
}

/// Loads what TLS trunks need: the same files once, for a store of authorities is large.
#[derive(Default)]
pub(super) struct ClientLoader {
    pub(super) clients: TrunkClients,
    pub(super) serves_tls: ByRealm<bool>,
    loaded: Vec<(ClientFiles, ClientTls)>,
}

impl ClientLoader {
    /// For realms with and without TLS listeners.
    pub(super) fn new(serves_tls: ByRealm<bool>) -> ClientLoader {
        ClientLoader { serves_tls, ..ClientLoader::default() }
    }

    /// Loads for a trunk of transport TLS; `table` is its `tls`, or the trunk if it has none.
    pub(super) fn load(&mut self, trunk: &Trunk, table: &Table<'_>) {
        let TrunkTls { ca, certificate, key, server_name: _, verify } = &trunk.tls;
        let own = certificate.clone().zip(key.clone());
        let client = match self.client(ClientFiles { ca: ca.clone(), own, verify: *verify }) {
            Ok(client) => client,
            Err(fault) => return note(table, fault),
        };
        if client.exposed_key {
            warn_of_exposed_key(table);
        }
        warn_of_unreadable(table, [ca, certificate, key].into_iter().flatten());
        self.add(trunk, &client);
        if !verify {
            let message = "whoever answers at the trunk's address is believed, and hears its calls";
            let cure = "write ca = \"/path/to/ca.pem\" with the certificate that the peer has, instead";
            table.report.warn(&table.place, &format!("{}.verify", table.path), message, cure);
        }
    }

    /// Loads for a trunk that nobody wrote TLS for and that DNS may lead to TLS: by the system's
    /// authorities, and if there are none it fails then.
    pub(super) fn load_if_possible(&mut self, trunk: &Trunk, table: &Table<'_>) {
        match self.client(ClientFiles { ca: None, own: None, verify: true }) {
            Ok(client) => self.add(trunk, &client),
            Err(TlsFault { message, .. }) => {
                let message = format!("if DNS says TLS, it cannot be reached: {message}");
                let cure = "write transport = \"udp\", or transport = \"tls\" with tls = { ca = \"/path\" }";
                table.report.warn(&table.place, &table.path, message, cure);
            }
        }
    }

    fn add(&mut self, trunk: &Trunk, client: &ClientTls) {
        for TrunkHost { host, .. } in &trunk.hosts {
            let host = host_text(host);
            let name = trunk.server_name(&host);
            self.clients.insert(trunk.identity(&host), (client.clone(), name));
        }
    }

    fn client(&mut self, files: ClientFiles) -> Result<ClientTls, TlsFault> {
        if let Some((_, client)) = self.loaded.iter().find(|(known, _)| *known == files) {
            return Ok(client.clone());
        }
        let client = ClientTls::load(&files)?;
        self.loaded.push((files, client.clone()));
        Ok(client)
    }
}

fn path(value: &Value<'_>) -> Option<PathBuf> {
    absolute_path(&value.text()?)
}

/// A path that does not depend on where the daemon was started.
pub(super) fn absolute_path(text: &Text<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(&text.text);
    if !path.is_absolute() {
        text.fault("is no absolute path", "write the whole path, from / on");
        return None;
    }
    Some(path)
}

fn note(table: &Table<'_>, fault: TlsFault) {
    let TlsFault { key, message, cure } = fault;
    // Where the file is written, if it is.
    let place = table.entries().into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.place);
    table.report.fault(
        place.as_ref().unwrap_or(&table.place),
        &format!("{}.{key}", table.path),
        message,
        cure,
    );
}

/// Root could read them, and the service cannot.
fn warn_of_unreadable<'f>(table: &Table<'_>, files: impl Iterator<Item = &'f PathBuf>) {
    for unreadable in files.filter_map(|file| table.report.surroundings.unreadable(file)) {
        table.report.warn(&table.place, &table.path, unreadable.message, unreadable.cure);
    }
}

fn warn_of_exposed_key(table: &Table<'_>) {
    table.report.warn(
        &table.place,
        &format!("{}.key", table.path),
        "everybody on this host may read the key",
        "chmod o= it",
    );
}
