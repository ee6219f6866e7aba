//! `drawbridge explain`: what would become of a call, and why. Nothing is sent.
//!
//! Must not know: how a call is decided; `b2bua::explain` says it, here it is asked and printed.

mod json;
mod page;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use super::style::{Palette, is_obeyed};
use super::{ConfigFile, FAILED, USAGE, refusal};
use crate::b2bua::explain::{Question, Verdict, explain};
use crate::base::Realm;
use crate::{app, config, sip};

/// The port of a source that is given without one.
const SIP_PORT: u16 = 5060;

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge explain --realm trusted --source 10.0.0.10 --from 1001 --to 00442079460000
  drawbridge explain --realm trusted --source 10.0.0.10 --from 1001 --to support \\
      --header 'Privacy: id'
  drawbridge explain --realm untrusted --source 192.0.2.7 --from +12015550100 \\
      --to +12015550199 --resolve sip.carrier.example=192.0.2.7 --json | jq .verdict

It is as on an idle node: no limit is used up, and no target answers, so that each is shown.
Names of trunks are not looked up; --resolve says what DNS would. Trunks are as the files say:
one that `trunk disable` has switched off is shown as if it were not (drawbridge trunks tells).

Exit status: 0 would be routed, 1 would be refused or the configuration is wrong,
2 wrong usage.";

/// `drawbridge explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The side that the call comes from: trusted or untrusted
    #[arg(long, value_name = "REALM", value_parser = realm)]
    realm: Realm,
    /// The address that it comes from; without a port, 5060
    #[arg(long, value_name = "IP[:PORT]", value_parser = source)]
    source: SocketAddr,
    /// Who calls: a user, "anonymous", or a whole URI
    #[arg(long, value_name = "USER", allow_hyphen_values = true)]
    from: String,
    /// Whom it calls: a number as it is dialled, a name, or a whole URI (sip:, tel:, urn:service:sos)
    #[arg(long, value_name = "USER", allow_hyphen_values = true)]
    to: String,
    /// A further header of the INVITE; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Take this address for a trunk's name, as if DNS said so; may be given again
    #[arg(long = "resolve", value_name = "HOST=IP", value_parser = resolved)]
    resolved: Vec<(String, IpAddr)>,
    /// Print one JSON object for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    if let Some(argument) = args.obeyed() {
        let _ = writeln!(
            io::stderr(),
            "drawbridge: {argument} holds a character that a terminal would obey, and no message carries it so"
        );
        return ExitCode::from(USAGE);
    }
    let (text, is_routed) = match config::load(&args.file.config) {
        Ok(config) => {
            let question = args.question();
            let explanation = explain(&Arc::new(app::offline_settings(&config)), &question);
            let text = if args.json {
                json::print(&question, &explanation)
            } else {
                page::print(&question, &explanation, Palette::of_stdout())
            };
            (text, explanation.verdict == Verdict::Routed)
        }
        Err(faults) if args.json => (json::faults(&faults), false),
        Err(faults) => {
            // A standard error that is closed does not change the outcome.
            let _ = write!(io::stderr(), "{}", refusal(&faults));
            return ExitCode::from(FAILED);
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: the explanation cannot be written: {error}");
            return ExitCode::from(FAILED);
        }
    }
    if is_routed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

impl ExplainArgs {
    /// The argument that must not be printed as it is.
    fn obeyed(&self) -> Option<&'static str> {
        // A tab is white space in a header (RFC 3261 §25.1).
        let is_bad = |text: &String| text.chars().any(|letter| letter != '\t' && is_obeyed(letter));
        let bad = |(name, value): &(String, String)| is_bad(name) || is_bad(value);
        match () {
            () if is_bad(&self.from) => Some("--from"),
            () if is_bad(&self.to) => Some("--to"),
            () if self.headers.iter().any(bad) => Some("--header"),
            () if self.resolved.iter().any(|(host, _)| is_bad(host)) => Some("--resolve"),
            () => None,
        }
    }

    fn question(&self) -> Question {
        Question {
            realm: self.realm,
            source: self.source,
            from: self.from.clone(),
            to: self.to.clone(),
            headers: self.headers.clone(),
            resolved: self.resolved.clone(),
        }
    }
}

fn realm(text: &str) -> Result<Realm, String> {
    let realm = Realm::ALL.into_iter().find(|realm| realm.as_str() == text);
    realm.ok_or_else(|| "write trusted or untrusted".to_owned())
}

fn source(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, SIP_PORT));
    address.or_else(|_| text.parse()).map_err(|_| "write an address: 192.0.2.1, 192.0.2.1:5060".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value")?;
    let (name, value) = (name.trim(), value.trim());
    if !sip::is_token(name.as_bytes()) {
        return Err(format!("\"{name}\" is no name of a header"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn resolved(text: &str) -> Result<(String, IpAddr), String> {
    let (host, address) = text.split_once('=').ok_or("write a name, \"=\" and its address")?;
    let address = address.parse().map_err(|_| format!("\"{address}\" is no address"))?;
    Ok((host.trim_end_matches('.').to_owned(), address))
}

#[cfg(test)]
mod tests;
