//! The engine on virtual time: a lab with a PBX, two carriers and a relay that does what it is
//! told. Every scenario ends with nothing left: no call, transaction, timer or port.

mod attacks;
mod basic_calls;
mod cancel_races;
mod challenges;
mod diversion;
mod failover;
mod flows;
mod identity_policy;
mod in_dialog;
mod lab;
mod media_ports;
mod peers_mistakes;
mod privacy;
mod redirect;
mod refusals;
mod reinvite;
mod setup;
mod shutdown;
mod simulation;
mod torture;
mod transports;
