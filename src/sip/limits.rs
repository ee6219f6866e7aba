//! The bounds on what is taken from the wire (those of a digest challenge are in `digest.rs`). What is beyond is refused with a
//! 400 or 513 where it can be answered, else dropped and counted.

/// The largest message: what a UDP datagram can hold. Spans are 16 bits wide because of it.
pub const MAX_MESSAGE_BYTES: usize = 65_535;

/// The longest header section, start line counted in, of a message that comes over a stream: as long
/// as its end is not found it is kept in memory.
pub const MAX_HEADER_SECTION_BYTES: usize = 32_768;

/// The largest message that we write: what an IPv4 UDP datagram has room for.
pub const MAX_WRITTEN_BYTES: usize = 65_507;

/// The most header lines of one message.
pub const MAX_HEADERS: usize = 255;

/// The most Via values that are looked through; far above any path that Max-Forwards allows.
pub const MAX_VIA_VALUES: usize = 70;

/// The longest Request-URI.
pub const MAX_URI_BYTES: usize = 2_048;

/// The longest Call-ID, tag or branch: they become keys of our tables.
pub const MAX_KEY_BYTES: usize = 256;

/// The most parts of a multipart body, those of inner ones counted in.
pub const MAX_PARTS: usize = 16;

/// How deep multipart bodies may stand in each other.
pub const MAX_PARTS_DEPTH: usize = 2;

/// The longest boundary of a multipart body (RFC 2046 §5.1.1).
pub const MAX_BOUNDARY_BYTES: usize = 70;

/// The most header lines of one part.
pub const MAX_PART_HEADERS: usize = 32;
