//! The engine on virtual time: a lab with a PBX, two carriers and a relay that does what it is
//! told. Every scenario ends with nothing left: no call, transaction, timer or port.

mod attacks;
mod basic_calls;
mod bodies;
mod cancel_races;
mod challenges;
mod diversion;
mod early_dialogs;
mod explain;
mod failover;
mod flows;
mod glare;
mod identity_policy;
mod in_dialog;
pub mod lab;
mod limits;
mod media_ports;
mod meetings;
mod offer_answer;
mod operators_timers;
mod peers_mistakes;
mod privacy;
mod redirect;
mod refusals;
mod reinvite;
mod reliable;
mod session_timers;
mod setup;
mod shutdown;
mod simulation;
mod torture;
mod transfer;
mod transfer_attacks;
mod transfer_consumed;
mod transfer_replaces;
mod transports;
mod update;
