//! Networks: addresses that begin with the same bits, as settings name them.
//!
//! Pure. An IPv4 address written as an IPv6 one is the IPv4 address everywhere here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// `203.0.113.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    /// Of 128, for both kinds of address.
    bits: u32,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is something else.
    #[error("`{0}` is not a network: expected something like 203.0.113.0/24, 2001:db8::/32 or one address")]
    NotANetwork(String),
    /// It names an address inside, and one cannot tell what was meant.
    #[error("`{0}` has bits behind its prefix: the network is {1}")]
    BitsBehind(String, Network),
}

/// Both kinds of address in one space: an IPv4 one in its place among the IPv6 ones.
fn number(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, bits: u32) -> u128 {
    number(address) & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(number)).to_canonical()
}

impl Network {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.bits) == number(self.first)
    }
}

/// What counts as one address: of IPv6 the 64 bits that everybody is given whole.
pub fn one_address(given: IpAddr) -> IpAddr {
    match given.to_canonical() {
        IpAddr::V4(given) => IpAddr::V4(given),
        IpAddr::V6(given) => address(masked(IpAddr::V6(given), 64)),
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let wrong = || BadNetwork::NotANetwork(text.to_owned());
        let (before, length) = match text.split_once('/') {
            Some((before, length)) => (before, Some(length)),
            None => (text, None),
        };
        let given: IpAddr = before.parse().map_err(|_| wrong())?;
        let own_bits = if given.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => own_bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if length > own_bits {
            return Err(wrong());
        }
        let bits = 128 - own_bits + length;
        let first = address(masked(given, bits));
        let network = Self { first, bits };
        if number(given) != number(first) {
            return Err(BadNetwork::BitsBehind(text.to_owned(), network));
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.first.is_ipv4() {
            self.bits.saturating_sub(96)
        } else {
            self.bits
        };
        write!(f, "{}/{shown}", self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_and_shown_or_told_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let told = match text.parse::<Network>() {
                Ok(network) => network.to_string(),
                Err(BadNetwork::NotANetwork(_)) => "no network".to_owned(),
                Err(BadNetwork::BitsBehind(_, network)) => format!("meant {network}"),
            };
            assert_eq!(told, expected, "{text}");
        };
        check("10.0.0.0/8", "10.0.0.0/8");
        check("203.0.113.7", "203.0.113.7/32");
        check("0.0.0.0/0", "0.0.0.0/0");
        check("2001:db8::/32", "2001:db8::/32");
        check("::1", "::1/128");
        check("::/0", "::/0");
        check("10.0.0.1/8", "meant 10.0.0.0/8");
        check("2001:db8::1/32", "meant 2001:db8::/32");
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "bank",
            "10.0.0.0/",
            "1/2/3",
        ] {
            check(wrong, "no network");
        }
    }

    #[test]
    fn an_address_belongs_to_the_networks_it_begins_like() {
        let check = |network: &str, given: &str, expected: bool| {
            let network: Network = network.parse().expect("a network");
            assert_eq!(
                network.contains(given.parse().expect("an address")),
                expected,
                "{network} {given}"
            );
        };
        check("203.0.113.0/24", "203.0.113.255", true);
        check("203.0.113.0/24", "203.0.114.0", false);
        check("203.0.113.0/24", "::ffff:203.0.113.9", true);
        check("203.0.113.7", "203.0.113.7", true);
        check("203.0.113.7", "203.0.113.6", false);
        check("0.0.0.0/0", "255.255.255.255", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "1.2.3.4", true);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
    }

    #[test]
    fn an_ipv6_sender_is_as_many_as_its_first_half_says() {
        let check = |given: &str, expected: &str| {
            let one = one_address(given.parse().expect("an address"));
            assert_eq!(one.to_string(), expected);
        };
        check("203.0.113.7", "203.0.113.7");
        check("::ffff:203.0.113.7", "203.0.113.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}
