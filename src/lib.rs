//! Drawbridge: a B2BUA session border controller.
//!
//! The core is sans-IO: it takes inputs with the time as an argument and gives outputs. It opens
//! no socket and reads no clock. The shell around it owns sockets, files and threads.
//! `docs/design.md` shows the parts and the arrows between them.

pub mod admin;
pub mod admission;
pub mod app;
pub mod b2bua;
pub mod base;
pub mod cli;
pub mod config;
pub mod dialog;
pub mod media;
pub mod numbering;
pub mod relay;
pub mod resolver;
pub mod routing;
pub mod rtp;
pub mod runtime;
pub mod sdp;
pub mod sip;
pub mod telemetry;
pub mod transaction;
pub mod transport;
