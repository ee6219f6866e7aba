//! `drawbridge demo`: the daemon between two small user agents, all in one process and on loopback;
//! real calls with real RTP, and what came of them on one screen.
//!
//! - [`ua`] and [`call`] are the user agents, sans-IO; [`phone`] puts one on a socket.
//! - [`rtp`] speaks, listens and measures; [`records`] is what the SBC says of the same calls.
//! - [`exchange`] lets them call each other; [`sbc`] is what stands between.
//! - [`mod@ladder`] and [`report`] are what is printed.
//!
//! Must not know: the engine's and the relay's insides; it meets them on the wire.

mod call;
mod exchange;
mod ladder;
mod phone;
mod records;
mod report;
mod rtp;
mod sbc;
mod sdp;
mod trace;
mod ua;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::style::{Ink, Palette};
use crate::runtime::{Clock, seed};
use exchange::{CALLS_MAX, CallRecord, Direction, Exchange, Outcome};
use ladder::{Ladder, Party};
use phone::Phone;
use records::Record;
use report::AudioRow;
use sbc::{Addresses, Sbc};

/// Threads of the demo beside those of the relay: one for each user agent.
const THREADS: usize = 2;
/// The longest talk: one hour.
const SECONDS_MAX: i64 = 3_600;

/// `drawbridge demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// How many calls; every other one comes from the carrier
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CALLS_MAX)))]
    calls: u16,
    /// How long the parties of each call talk
    #[arg(long, value_name = "S", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=SECONDS_MAX))]
    seconds: u16,
}

/// Runs the demo and prints it.
pub fn run(args: &DemoArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let shown = runtime.map_err(|fault| fault.to_string()).and_then(|runtime| {
        let (page, is_well) = runtime.block_on(demo(args, Palette::of_stdout()))?;
        // A reader that went away (`| head`) is no fault of the calls'.
        let _ = io::stdout().write_all(page.as_bytes());
        Ok(is_well)
    });
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("drawbridge demo: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that is done; gives what is printed, and whether all is well.
async fn demo(args: &DemoArgs, palette: Palette) -> Result<(String, bool), String> {
    let mut random = seed::random().map_err(|fault| fault.to_string())?;
    let clock = Clock::start();
    let addresses = Addresses::on_loopback();
    let mut phone = async |address| {
        let random = crate::base::Random::from_number(random.bits());
        Phone::start(SocketAddr::new(address, 0), random, clock).await.map_err(|fault| fault.to_string())
    };
    let (pbx, carrier) = (phone(addresses.pbx).await?, phone(addresses.carrier).await?);
    let sbc = Sbc::start(addresses, pbx.address(), carrier.address()).map_err(|fault| fault.to_string())?;
    let parties = [
        Party { title: "caller", address: pbx.address() },
        Party { title: "SBC trusted", address: sbc.trusted },
        Party { title: "SBC untrusted", address: sbc.untrusted },
        Party { title: "callee", address: carrier.address() },
    ];
    let exchange =
        Exchange { pbx, carrier, towards_trusted: sbc.trusted, towards_untrusted: sbc.untrusted, clock };
    let talk_time = Duration::from_secs(u64::from(args.seconds));
    let outcome = exchange.run(args.calls, talk_time, random).await;
    let records = sbc.stop().await;
    Ok(page(args, parties, &outcome, &records, palette))
}

/// The whole page, and whether all is well.
fn page(
    args: &DemoArgs,
    parties: [Party; 4],
    outcome: &Outcome,
    records: &[Record],
    palette: Palette,
) -> (String, bool) {
    let relayed = |call: &CallRecord| records.iter().find(|record| record.to == call.called)?.media.clone();
    let rows =
        [Direction::Out, Direction::In].map(|direction| AudioRow::sum(direction, &outcome.records, relayed));
    let (verdict, is_well) = report::verdict(&outcome.records, palette);
    let sections = [
        vec![title(args, palette)],
        outcome.records.first().map(|record| ladder(record, parties).draw(palette)).unwrap_or_default(),
        report::calls(&outcome.records, palette),
        report::audio(&rows, &outcome.straight, palette),
        vec![format!("  {verdict}")],
    ];
    let page: Vec<String> = sections.iter().map(|lines| lines.join("\n")).collect();
    (format!("\n{}\n\n", page.join("\n\n")), is_well)
}

fn title(args: &DemoArgs, palette: Palette) -> String {
    let calls = if args.calls == 1 { "1 call".to_owned() } else { format!("{} calls", args.calls) };
    let name = palette.paint(Ink::Bold, "Drawbridge demo");
    format!("  {name}: {calls} of {} s on loopback, G.711 µ-law each 20 ms; this is the first", args.seconds)
}

/// The first call, which goes from the PBX to the carrier.
fn ladder(record: &CallRecord, parties: [Party; 4]) -> Ladder {
    let heard = |packets| format!("{packets} RTP heard");
    let media = record
        .talk_began
        .map(|at| (at, [heard(record.at_caller.verified), heard(record.at_callee.verified)]));
    Ladder { parties, caller: record.caller.clone(), callee: record.callee.clone(), media }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn calls_cross_a_real_drawbridge_both_ways() {
        let args = DemoArgs { calls: 2, seconds: 1 };
        let (page, is_well) = demo(&args, Palette::PLAIN).await.unwrap();
        assert!(is_well, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
        assert!(page.contains("relay"), "the relay has a word, too: {page}");
    }
}
