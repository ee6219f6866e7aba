//! Socket addresses in the kernel's form (`sockaddr_in`, `sockaddr_in6`), as bytes: read and
//! written without a cast.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Room for the larger of the two.
pub(super) const SOCKADDR_BYTES: usize = size_of::<libc::sockaddr_in6>();
const V4_BYTES: usize = size_of::<libc::sockaddr_in>();

/// The address that the kernel wrote; `None` if it is of another family or cut short.
pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(array(bytes, 0)?));
    let port = u16::from_be_bytes(array(bytes, 2)?);
    match family {
        libc::AF_INET => Some(SocketAddr::from((Ipv4Addr::from(array::<4>(bytes, 4)?), port))),
        libc::AF_INET6 => {
            let flow_info = u32::from_be_bytes(array(bytes, 4)?);
            let address = Ipv6Addr::from(array::<16>(bytes, 8)?);
            let scope = u32::from_ne_bytes(array(bytes, 24)?);
            Some(SocketAddrV6::new(address, port, flow_info, scope).into())
        }
        _ => None,
    }
}

/// Writes an address for the kernel and tells its length.
pub(super) fn write(address: SocketAddr, bytes: &mut [u8; SOCKADDR_BYTES]) -> usize {
    bytes.fill(0);
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            V4_BYTES
        }
        SocketAddr::V6(v6) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            SOCKADDR_BYTES
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["203.0.113.7:4000", "[2001:db8::7]:5", "[fe80::1%3]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut bytes = [0xff; SOCKADDR_BYTES];
            let length = write(address, &mut bytes);
            assert_eq!(read(&bytes[..length]), Some(address));
        }
    }

    #[test]
    fn other_families_and_short_names_are_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        let mut bytes = [0; SOCKADDR_BYTES];
        write("[2001:db8::7]:5".parse().unwrap(), &mut bytes);
        assert_eq!(read(&bytes[..27]), None);
    }
}
