//! The wire of SIP (RFC 3261 §7, §25): a message is its bytes and an index of where things are.
//!
//! - [`Message`] holds the bytes as they came and the spans of its headers; a header is parsed when
//!   it is asked for ([`Uri`], [`NameAddr`], [`Via`], [`CSeq`]), and what nobody touches is
//!   forwarded byte for byte.
//! - [`Writer`] makes the messages that Drawbridge itself says.
//!
//! `rsip` gives the vocabulary (reason phrases); it does not read the wire, `docs/design.md` says
//! why. Must not know: transactions, dialogs, sockets.

mod build;
pub mod digest;
mod framing;
mod header;
pub mod limits;
mod message;
mod method;
pub mod multipart;
mod name_addr;
mod params;
mod status;
mod text;
mod uri;
mod via;

pub use build::{MessageTooLarge, Writer, response_to};
pub use framing::{Frame, Framer, FramingFault};
pub use header::Header;
pub use message::{CSeq, HeaderField, Message, MessageFault, RAck, Unparsable};
pub use method::Method;
pub use name_addr::{NameAddr, written_display};
pub use params::Params;
pub use status::Status;
pub use text::{is_token, split_list, trim};
pub use uri::{HostPort, Scheme, Uri, UriFault, unescape};
pub use via::Via;
