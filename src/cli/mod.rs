//! The command line: what people type and read.

pub mod demo;
