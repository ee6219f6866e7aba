//! The core of the main package, alone: no socket, no clock, no runtime.

#[path = "../../src/admission/mod.rs"]
pub mod admission;
#[path = "../../src/b2bua/mod.rs"]
pub mod b2bua;
#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/dialog/mod.rs"]
pub mod dialog;
#[path = "../../src/media/mod.rs"]
pub mod media;
#[path = "../../src/numbering/mod.rs"]
pub mod numbering;
#[path = "../../src/routing/mod.rs"]
pub mod routing;
#[path = "../../src/rtp/mod.rs"]
pub mod rtp;
#[path = "../../src/sdp/mod.rs"]
pub mod sdp;
#[path = "../../src/sip/mod.rs"]
pub mod sip;
#[path = "../../src/transaction/mod.rs"]
pub mod transaction;
