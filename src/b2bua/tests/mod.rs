//! The engine on virtual time: a lab with a PBX, two carriers and a relay that does what it is
//! told. Every scenario ends with nothing left: no call, transaction, timer or port.

mod basic_calls;
mod challenges;
mod lab;
mod simulation;
