//! Which RTP/RTCP port pairs are free. Pairs are drawn at random, so that an attacker cannot tell
//! the next call's port from this one's, and rest before they are used again, so that late packets
//! of one call do not reach the next. A call that would find no port takes the one that has rested longest.
//!
//! There is one pool for each bound address, whichever realms share that address.
//!
//! Must not know: sockets. Whether a port can really be bound, the relay finds out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{PortPair, RealmMedia, Settings};
use crate::base::{ByRealm, Instant, Random, Realm};

/// How long a pair rests after a call: stragglers of a G.711 call and its BYE are over by then.
const REST_AFTER_RELEASE: Duration = Duration::from_secs(2);
/// How long a pair rests that another program holds.
const REST_AFTER_FAILED_BIND: Duration = Duration::from_secs(60);

/// The pools of all media addresses.
#[derive(Debug)]
pub struct PortPool {
    /// First (even) and last port.
    ports: (u16, u16),
    realms: ByRealm<RealmMedia>,
    addresses: Vec<AddressPool>,
    random: Random,
}

impl PortPool {
    /// The pools that `settings` ask for, drawing from `random`.
    pub fn new(settings: &Settings, random: Random) -> PortPool {
        let mut pool =
            PortPool { ports: settings.ports, realms: ByRealm::default(), addresses: Vec::new(), random };
        pool.set_realms(&settings.realms);
        pool
    }

    /// Takes other media addresses into use. Pairs of an address that no realm has any more stay
    /// reserved until they are released; the port range cannot change.
    pub fn set_realms(&mut self, realms: &ByRealm<RealmMedia>) {
        self.realms = realms.clone();
        for realm in Realm::ALL {
            for media in &realms[realm].addresses {
                if !self.addresses.iter().any(|pool| pool.address == media.bind) {
                    self.addresses.push(AddressPool::new(media.bind, self.ports));
                }
            }
        }
    }

    /// A free pair of `realm` on the bound `address`, or the one that has rested longest; `None` if all are in use or
    /// held by other programs, or the address is none of the realm's.
    pub fn reserve(&mut self, realm: Realm, address: IpAddr, now: Instant) -> Option<PortPair> {
        if !self.realms[realm].addresses.iter().any(|media| media.bind == address) {
            return None;
        }
        let pool = self.addresses.iter_mut().find(|pool| pool.address == address)?;
        let rtp_port = pool.take(realm, now, &mut self.random)?;
        Some(PortPair { realm, address, rtp_port })
    }

    /// Gives a pair back after its call; it rests first. A pair that is not reserved is left alone.
    pub fn release(&mut self, pair: PortPair, now: Instant) {
        if let Some(pool) = self.pool_of(pair) {
            pool.put_back(pair.rtp_port, now, Rest::AfterRelease);
        }
    }

    /// Gives a pair back that could not be bound; it rests longer.
    pub fn mark_unusable(&mut self, pair: PortPair, now: Instant) {
        if let Some(pool) = self.pool_of(pair) {
            pool.put_back(pair.rtp_port, now, Rest::AfterFailedBind);
        }
    }

    /// Whether a call holds this port of ours.
    pub fn is_taken(&self, address: SocketAddr) -> bool {
        let pool = self.addresses.iter().find(|pool| pool.address == address.ip());
        pool.and_then(|pool| Some(pool.holders[pool.index_of(address.port() & !1)?].is_some()))
            .unwrap_or(false)
    }

    /// Ports, not pairs, that calls of `realm` hold.
    pub fn in_use(&self, realm: Realm) -> usize {
        2 * self.addresses.iter().map(|pool| pool.in_use[realm]).sum::<usize>()
    }

    /// Ports, not pairs, that `realm` has; those of an address that both realms share are counted
    /// in each.
    pub fn limit(&self, realm: Realm) -> usize {
        2 * self.realms[realm].addresses.len() * pair_count(self.ports)
    }

    /// How many streams there may be at once: a stream takes a pair of one address in each realm, and
    /// where both realms share an address both are its.
    pub fn streams_limit(&self) -> usize {
        let of = |realm: Realm| self.realms[realm].addresses.iter().map(|media| media.bind);
        let shares = of(Realm::Trusted).any(|address| of(Realm::Untrusted).any(|other| other == address));
        if shares { pair_count(self.ports) / 2 } else { pair_count(self.ports) }
    }

    /// How many pairs the address has that has the fewest left, those that rest counted in.
    pub fn free_pairs(&self) -> usize {
        let is_used = |pool: &&AddressPool| {
            Realm::ALL
                .iter()
                .any(|realm| self.realms[*realm].addresses.iter().any(|media| media.bind == pool.address))
        };
        let free = |pool: &AddressPool| {
            let held: usize = Realm::ALL.iter().map(|realm| pool.in_use[*realm]).sum();
            pool.holders.len().saturating_sub(held)
        };
        self.addresses.iter().filter(is_used).map(free).min().unwrap_or_default()
    }

    fn pool_of(&mut self, pair: PortPair) -> Option<&mut AddressPool> {
        self.addresses.iter_mut().find(|pool| pool.address == pair.address)
    }
}

/// The pairs of one address.
#[derive(Debug)]
struct AddressPool {
    address: IpAddr,
    first_port: u16,
    /// Even ports, in no order.
    free: Vec<u16>,
    /// Who holds each pair, by its place in the range.
    holders: Vec<Option<Realm>>,
    in_use: ByRealm<usize>,
    /// Pairs that rest, with the end of the rest, each queue in order of time.
    resting_after_release: VecDeque<(Instant, u16)>,
    resting_after_failed_bind: VecDeque<(Instant, u16)>,
}

/// Why a pair rests.
#[derive(Clone, Copy)]
enum Rest {
    AfterRelease,
    AfterFailedBind,
}

impl AddressPool {
    fn new(address: IpAddr, ports: (u16, u16)) -> AddressPool {
        let count = pair_count(ports);
        let first_port = first_even(ports.0).unwrap_or(u16::MAX);
        AddressPool {
            address,
            first_port,
            free: (0..count).map(|index| first_port + 2 * index as u16).collect(),
            holders: vec![None; count],
            in_use: ByRealm::default(),
            resting_after_release: VecDeque::new(),
            resting_after_failed_bind: VecDeque::new(),
        }
    }

    fn take(&mut self, realm: Realm, now: Instant, random: &mut Random) -> Option<u16> {
        for queue in [&mut self.resting_after_release, &mut self.resting_after_failed_bind] {
            while let Some((_, port)) = queue.pop_front_if(|(until, _)| *until <= now) {
                self.free.push(port);
            }
        }
        let port = if self.free.is_empty() {
            // Stragglers cost less than a call: most have not the address that the new call names, and those
            // that share it (two calls of one gateway) must outlast its probation.
            self.resting_after_release.pop_front()?.1
        } else {
            let chosen = random.below(self.free.len() as u32) as usize;
            self.free.swap_remove(chosen)
        };
        self.in_use[realm] += 1;
        if let Some(index) = self.index_of(port) {
            self.holders[index] = Some(realm);
        }
        Some(port)
    }

    fn put_back(&mut self, port: u16, now: Instant, rest: Rest) {
        let holder = self.index_of(port).and_then(|index| self.holders[index].take());
        let Some(realm) = holder else { return };
        self.in_use[realm] -= 1;
        match rest {
            Rest::AfterRelease => self.resting_after_release.push_back((now + REST_AFTER_RELEASE, port)),
            Rest::AfterFailedBind => {
                self.resting_after_failed_bind.push_back((now + REST_AFTER_FAILED_BIND, port));
            }
        }
    }

    fn index_of(&self, port: u16) -> Option<usize> {
        let index = usize::from(port.checked_sub(self.first_port)?) / 2;
        (port.is_multiple_of(2) && index < self.holders.len()).then_some(index)
    }
}

/// How many pairs of an even port and the odd one above it lie in a range.
fn pair_count((first, last): (u16, u16)) -> usize {
    match first_even(first) {
        Some(first) if last > first => usize::from(last - first).div_ceil(2),
        _ => 0,
    }
}

fn first_even(port: u16) -> Option<u16> {
    port.checked_add(port % 2)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::MediaAddress;
    use super::*;

    const INSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));
    const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

    fn realm(address: IpAddr) -> RealmMedia {
        RealmMedia { addresses: vec![MediaAddress { bind: address, advertise: address }] }
    }

    fn pool(ports: (u16, u16), trusted: IpAddr, untrusted: IpAddr) -> PortPool {
        let settings = Settings {
            ports,
            timeout: Duration::from_secs(60),
            one_way_timeout: Duration::ZERO,
            hold_timeout: Duration::ZERO,
            realms: ByRealm { trusted: realm(trusted), untrusted: realm(untrusted) },
        };
        PortPool::new(&settings, Random::from_number(1))
    }

    fn all(pool: &mut PortPool, realm: Realm, address: IpAddr, now: Instant) -> Vec<PortPair> {
        std::iter::from_fn(|| pool.reserve(realm, address, now)).collect()
    }

    #[test]
    fn every_pair_of_the_range_once_even_below_odd_and_in_no_order() {
        let mut pool = pool((10_000, 20_000), INSIDE, OUTSIDE);
        assert_eq!(pool.limit(Realm::Trusted), 10_000);
        let pairs = all(&mut pool, Realm::Trusted, INSIDE, Instant::ZERO);
        assert_eq!((pairs.len(), pool.in_use(Realm::Trusted)), (5_000, 10_000));
        assert_eq!(pool.in_use(Realm::Untrusted), 0);
        let ports: HashSet<u16> = pairs.iter().map(|pair| pair.rtp_port).collect();
        assert_eq!(ports.len(), 5_000);
        assert!(ports.iter().all(|port| port % 2 == 0 && (10_000..20_000).contains(port)));
        let ascending = pairs.windows(2).filter(|two| two[0].rtp_port < two[1].rtp_port).count();
        assert!((2_200..2_800).contains(&ascending), "random: {ascending} of 4,999 ascend");
    }

    #[test]
    fn odd_and_tiny_ranges_hold_what_fits() {
        for (range, expected) in [
            ((10_001, 10_004), 1),
            ((10_000, 10_000), 0),
            ((10_000, 10_001), 1),
            ((10_001, 10_002), 0),
            ((65_534, 65_535), 1),
            ((65_535, 65_535), 0),
        ] {
            let mut pool = pool(range, INSIDE, OUTSIDE);
            assert_eq!(all(&mut pool, Realm::Trusted, INSIDE, Instant::ZERO).len(), expected, "{range:?}");
            assert_eq!(pool.limit(Realm::Trusted), 2 * expected);
        }
    }

    #[test]
    fn realms_that_share_an_address_share_its_ports() {
        let mut pool = pool((10_000, 10_007), INSIDE, INSIDE);
        let first = pool.reserve(Realm::Trusted, INSIDE, Instant::ZERO).unwrap();
        let others = all(&mut pool, Realm::Untrusted, INSIDE, Instant::ZERO);
        assert_eq!(others.len(), 3);
        assert!(others.iter().all(|pair| pair.rtp_port != first.rtp_port));
        assert_eq!((pool.in_use(Realm::Trusted), pool.in_use(Realm::Untrusted)), (2, 6));
    }

    #[test]
    fn a_pair_rests_before_it_is_used_again_and_longer_after_a_failed_bind() {
        let mut pool = pool((10_000, 10_003), INSIDE, OUTSIDE);
        let pair = pool.reserve(Realm::Trusted, INSIDE, Instant::ZERO).unwrap();
        pool.release(pair, Instant::ZERO);
        assert_eq!(pool.in_use(Realm::Trusted), 0);
        let other = pool.reserve(Realm::Trusted, INSIDE, Instant::from_millis(1_999)).unwrap();
        assert_ne!(other.rtp_port, pair.rtp_port);
        let again = pool.reserve(Realm::Trusted, INSIDE, Instant::from_millis(2_000)).unwrap();
        assert_eq!(again.rtp_port, pair.rtp_port);
        pool.mark_unusable(again, Instant::from_millis(2_000));
        assert_eq!(pool.reserve(Realm::Trusted, INSIDE, Instant::from_millis(61_999)), None);
        assert!(pool.reserve(Realm::Trusted, INSIDE, Instant::from_millis(62_000)).is_some());
    }

    #[test]
    fn a_call_that_would_find_no_pair_takes_the_one_that_has_rested_longest() {
        let mut pool = pool((10_000, 10_005), INSIDE, OUTSIDE);
        let pairs = all(&mut pool, Realm::Trusted, INSIDE, Instant::ZERO);
        pool.release(pairs[1], Instant::ZERO);
        pool.release(pairs[0], Instant::from_millis(1));
        pool.mark_unusable(pairs[2], Instant::from_millis(1));
        let now = Instant::from_millis(2);
        let again: Vec<u16> =
            all(&mut pool, Realm::Trusted, INSIDE, now).iter().map(|pair| pair.rtp_port).collect();
        assert_eq!(again, [pairs[1].rtp_port, pairs[0].rtp_port]);
    }

    #[test]
    fn what_is_not_reserved_cannot_be_given_back() {
        let mut pool = pool((10_000, 10_001), INSIDE, OUTSIDE);
        let pair = pool.reserve(Realm::Trusted, INSIDE, Instant::ZERO).unwrap();
        pool.release(pair, Instant::ZERO);
        pool.release(pair, Instant::ZERO);
        for stray in [PortPair { rtp_port: 4, ..pair }, PortPair { rtp_port: 10_001, ..pair }] {
            pool.release(stray, Instant::ZERO);
        }
        let later = Instant::from_millis(10_000);
        assert_eq!(all(&mut pool, Realm::Trusted, INSIDE, later).len(), 1);
        assert_eq!(pool.in_use(Realm::Trusted), 2);
    }

    #[test]
    fn addresses_come_and_go_but_reserved_pairs_stay() {
        let mut pool = pool((10_000, 10_003), INSIDE, OUTSIDE);
        let pair = pool.reserve(Realm::Untrusted, OUTSIDE, Instant::ZERO).unwrap();
        pool.set_realms(&ByRealm { trusted: realm(INSIDE), untrusted: realm(INSIDE) });
        assert_eq!(pool.reserve(Realm::Untrusted, OUTSIDE, Instant::ZERO), None);
        assert_eq!(pool.in_use(Realm::Untrusted), 2);
        pool.release(pair, Instant::ZERO);
        assert_eq!(pool.in_use(Realm::Untrusted), 0);
        assert!(pool.reserve(Realm::Untrusted, INSIDE, Instant::ZERO).is_some());
    }
}
