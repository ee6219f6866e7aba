// Why packets of media are dropped, in the words of whoever is woken by it: what they are, and where to look.
// A test holds the names to those that the relay gives (`media/flow.rs`).

const REASONS = {
  source_mismatch: ["came from another place than the one that is taken", "See latch of the trunk, in docs/media.md; it may be a stranger, too."],
  not_rtp: ["are no RTP: DTLS, STUN or ZRTP wants an answer that nobody gives", "Have the peer send plain RTP or SDES."],
  no_destination: ["came before the other side had said where it is", "A few at the start of a call are usual."],
  not_sending: ["came from a side whose SDP says that it does not send", "On hold that is usual."],
  not_receiving: ["are not wanted: the other side's SDP says that it does not receive", "On hold that is usual."],
  too_large: ["are longer than any packet of a telephone", null],
  send_queue_full: ["found a full queue of this machine on their way out", "This machine or its network card is short of room."],
  send_unreachable: ["found no way from this machine to the other side", "See its routes: ip route get ADDRESS."],
  send_forbidden: ["were stopped by a packet filter of this machine", "See its output rules: nft list ruleset."],
  send_too_long: ["are longer than the way to the other side takes", "See the MTU of that way."],
  send_failed: ["could not be sent by this machine to that address", null],
  learning: ["came before their sender had shown that it is the peer", "The first packets of a peer behind a NAT are."],
  implausible: ["have a payload type that neither SDP lists, or are RTCP of another sender", null],
};

/** What they did: completes "12 packets". */
export const whyDropped = (reason) => REASONS[reason]?.[0] ?? "were dropped";

/** Where to look, or what to think of it. */
export const lookAt = (reason) => REASONS[reason]?.[1] ?? null;

/** The machine's own fault, and nobody else's. */
export const isOurs = (reason) => reason.startsWith("send_");

/** [reason, packets], the most frequent first. */
export const mostFirst = (droppedBy) => Object.entries(droppedBy ?? {}).filter(([, packets]) => packets > 0).sort((one, other) => other[1] - one[1]);
