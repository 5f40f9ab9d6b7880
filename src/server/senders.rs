//! Who is at the door: how many connections each address has open, how often it was refused lately, and which
//! address speaks through a proxy.
//!
//! Bounded: no stranger makes it remember more than it says here. It decides nothing about a delivery.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::HeaderMap;

use crate::base::limits::WEBHOOK_REFUSED_ADDRESSES_MAX;
use crate::base::network::{Network, one_address};

/// Refusals are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// When all places are taken, those whose time is over are looked for no oftener than this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What is known of the addresses at the door.
#[derive(Debug)]
pub(super) struct Senders {
    connections_max: usize,
    refused_max: u32,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// As many as there are connections at most.
    open: BTreeMap<IpAddr, usize>,
    refused: BTreeMap<IpAddr, Refusals>,
    swept_at: Duration,
}

#[derive(Debug)]
struct Refusals {
    since: Duration,
    count: u32,
}

/// A connection of an address that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    senders: Arc<Senders>,
    address: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut table = self.senders.table();
        if let Some(open) = table.open.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                table.open.remove(&self.address);
            }
        }
    }
}

impl Senders {
    /// Nobody is there yet. `refused_max`: with so many refusals in a minute an address is held back.
    pub(super) fn new(connections_max: usize, refused_max: u32) -> Self {
        Self {
            connections_max,
            refused_max,
            table: Mutex::new(Table::default()),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each change is whole in itself.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, unless its address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Visit> {
        let address = one_address(peer);
        let mut table = self.table();
        let open = table.open.entry(address).or_default();
        if *open >= self.connections_max {
            return None;
        }
        *open += 1;
        Some(Visit {
            senders: Arc::clone(self),
            address,
        })
    }

    /// Counts a refusal of this address. `true`: from now on it is held back.
    pub(super) fn refuse(&self, sender: IpAddr, now: Duration) -> bool {
        let address = one_address(sender);
        let mut table = self.table();
        let table = &mut *table;
        if table.refused.len() >= WEBHOOK_REFUSED_ADDRESSES_MAX && !table.refused.contains_key(&address) {
            if now.saturating_sub(table.swept_at) >= SWEEP_EVERY {
                table.swept_at = now;
                table.refused.retain(|_, refusals| !refusals.is_over(now));
            }
            if table.refused.len() >= WEBHOOK_REFUSED_ADDRESSES_MAX {
                // So many at once: who comes now is not known, and so not held back.
                return false;
            }
        }
        let refusals = table
            .refused
            .entry(address)
            .or_insert(Refusals { since: now, count: 0 });
        if refusals.is_over(now) {
            *refusals = Refusals { since: now, count: 0 };
        }
        refusals.count = refusals.count.saturating_add(1);
        refusals.count == self.refused_max
    }

    /// Whether this address was refused so often lately that nothing large is read from it.
    pub(super) fn is_held_back(&self, sender: IpAddr, now: Duration) -> bool {
        let table = self.table();
        let refusals = table.refused.get(&one_address(sender));
        refusals.is_some_and(|refusals| !refusals.is_over(now) && refusals.count >= self.refused_max)
    }
}

impl Refusals {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WINDOW
    }
}

/// Whether one of these networks has the address.
pub(super) fn is_among(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Who sent a request: the peer, or, if that is one of our proxies, the last hop in `X-Forwarded-For` that is none.
/// What stands before that hop anybody may have written. A hop that is no address ends the search at the proxy
/// that wrote it.
pub(super) fn sender(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let mut sender = peer.to_canonical();
    if !is_among(proxies, sender) {
        return sender;
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = lines.into_iter().rev().flat_map(|line| {
        let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
        let hops: Vec<Option<IpAddr>> = text.split(',').rev().map(|hop| hop_address(hop.trim())).collect();
        hops
    });
    for hop in hops {
        let Some(hop) = hop else { break };
        sender = hop;
        if !is_among(proxies, sender) {
            break;
        }
    }
    sender
}

/// `203.0.113.7`, `203.0.113.7:1234`, `2001:db8::1` or `[2001:db8::1]:1234`.
fn hop_address(text: &str) -> Option<IpAddr> {
    let plain = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address: Option<IpAddr> = plain.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_connections_and_gets_a_place_back() {
        let senders = Arc::new(Senders::new(2, 20));
        let first = senders.enter(address("2001:db8::1")).expect("a place");
        let second = senders.enter(address("2001:db8::2")).expect("a place");
        assert!(senders.enter(address("2001:db8::3")).is_none(), "they count as one");
        assert!(senders.enter(address("2001:db8:0:1::1")).is_some());
        drop(first);
        drop(senders.enter(address("2001:db8::3")).expect("a place was given back"));
        drop(second);
        assert!(senders.table().open.is_empty());
    }

    #[test]
    fn refusals_are_counted_by_address_for_a_minute() {
        let senders = Senders::new(64, 3);
        let (one, other) = (address("203.0.113.7"), address("203.0.113.8"));
        let at = Duration::from_secs;
        let became: Vec<bool> = (0..4).map(|second| senders.refuse(one, at(second))).collect();
        assert_eq!(became, [false, false, true, false], "it is told once");
        assert!(senders.is_held_back(one, at(59)));
        assert!(!senders.is_held_back(other, at(59)));
        assert!(!senders.is_held_back(one, at(60)), "the minute is over");
        assert!(!senders.refuse(one, at(61)), "and counted anew");
        assert!(!senders.is_held_back(one, at(61)));
    }

    #[test]
    fn however_many_addresses_there_are_no_more_are_remembered_than_the_limit() {
        let senders = Senders::new(64, 1);
        let all = u32::try_from(WEBHOOK_REFUSED_ADDRESSES_MAX).expect("it fits") + 100;
        let of = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
        for number in 0..all {
            senders.refuse(of(number), Duration::from_secs(1));
        }
        assert_eq!(senders.table().refused.len(), WEBHOOK_REFUSED_ADDRESSES_MAX);
        assert!(senders.is_held_back(of(0), Duration::from_secs(2)));
        assert!(!senders.is_held_back(of(all - 1), Duration::from_secs(2)));
        assert!(senders.refuse(of(all - 1), Duration::from_secs(70)), "places come back");
        assert_eq!(senders.table().refused.len(), 1);
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_is_the_sender() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "2001:db8::/32"]
            .map(|text| text.parse().expect("a network"))
            .to_vec();
        let check = |peer: &str, lines: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().expect("a value"));
            }
            assert_eq!(
                sender(address(peer), &headers, &proxies),
                address(expected),
                "{peer} {lines:?}"
            );
        };
        check("203.0.113.7", &["198.51.100.1"], "203.0.113.7"); // a stranger says what it likes
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["192.0.2.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["192.0.2.1", "198.51.100.1,10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &["[2001:dead::1]:4711, [2001:db8::1]"], "2001:dead::1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["unknown"], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }
}
