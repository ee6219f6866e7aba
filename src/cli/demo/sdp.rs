//! The little that the user agents say and understand of SDP (RFC 8866): one PCMU stream.

use std::net::{IpAddr, SocketAddr};

/// Offers or answers one G.711 µ-law stream at this address.
pub fn describe(media: SocketAddr) -> String {
    let (address, port) = (media.ip(), media.port());
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=demo {port} 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Where a description wants its audio: the port of the first `m=audio`, and the address of its
/// own `c=`, or else the session's.
pub fn audio_address(description: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(description).ok()?;
    let mut address: Option<IpAddr> = None;
    let mut port: Option<u16> = None;
    for line in text.lines() {
        if let Some(audio) = line.strip_prefix("m=audio ").filter(|_| port.is_none()) {
            port = audio.split(' ').next()?.parse().ok();
        } else if line.starts_with("m=") && port.is_some() {
            break;
        } else if let Some(connection) = line.strip_prefix("c=IN ") {
            address = connection.split(' ').nth(1)?.parse().ok();
        }
    }
    port.filter(|port| *port != 0).zip(address).map(|(port, address)| SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_understood() {
        for address in ["127.0.0.10:40000", "[::1]:40000"] {
            let address = address.parse().unwrap();
            assert_eq!(audio_address(describe(address).as_bytes()), Some(address));
        }
    }

    #[test]
    fn the_streams_own_address_counts_and_port_zero_is_none() {
        let session = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n";
        let find = |text: &str| audio_address(text.as_bytes()).map(|address| address.to_string());
        assert_eq!(find(session).as_deref(), Some("192.0.2.1:4000"));
        assert_eq!(find(&format!("{session}c=IN IP4 192.0.2.2\r\n")).as_deref(), Some("192.0.2.2:4000"));
        let with_video = format!("{session}m=video 5000 RTP/AVP 34\r\nc=IN IP4 192.0.2.3\r\n");
        assert_eq!(find(&with_video).as_deref(), Some("192.0.2.1:4000"));
        assert_eq!(find("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n"), None);
        assert_eq!(find("v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), None);
    }
}
