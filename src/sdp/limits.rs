//! Every bound on what is taken from a session description, in one place.

/// The largest description; those of browsers have about 8,000 bytes.
pub const MAX_SDP_BYTES: usize = 32_768;

/// The most lines.
pub const MAX_LINES: usize = 1_024;

/// The most m= lines; each active one takes four ports.
pub const MAX_MEDIAS: usize = 16;

/// The most formats of one m= line: RTP has 128 payload types.
pub const MAX_FORMATS: usize = 128;

/// The most different addresses in o=, c= and a=rtcp.
pub const MAX_ADDRESSES: usize = 40;

/// The longest of them: no host name is longer (RFC 1035 §2.3.4).
pub const MAX_ADDRESS_BYTES: usize = 255;
