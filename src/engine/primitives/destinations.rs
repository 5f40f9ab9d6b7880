//! Whom a connector can be told to pay, for the payments themselves, for the check before them and for those who ask.

use crate::connector::table::{Connector, Kind, Param, PrimitiveMap};

/// Whom a primitive can be told to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destinations {
    /// An account, by the id or the name that the provider has for it.
    pub account: bool,
    /// An address: a map.
    pub address: bool,
}

impl Destinations {
    /// As the endpoint of a mapping takes it. Where that takes addresses, one of our own accounts is paid if the table says
    /// how it becomes one.
    pub(super) fn of(connector: &Connector, map: &PrimitiveMap) -> Self {
        let param = map.args.get("to").map_or("to", String::as_str);
        let param = connector
            .endpoint(&map.endpoint)
            .and_then(|endpoint| endpoint.param(param));
        Self {
            account: map.own_account.is_some() || param.is_some_and(|param| param.kind == Kind::Text),
            address: param.is_some_and(Param::is_map),
        }
    }
}

/// Whom this primitive can be told to pay here; none where it is told nobody.
pub fn destinations(connector: &Connector, primitive: &str) -> Option<Destinations> {
    let of = |name: &str| connector.primitive(name).map(|map| Destinations::of(connector, map));
    let (payout, transfer) = (of("payout"), of("transfer"));
    match primitive {
        "payout" => payout,
        // `to` is one of our own accounts.
        "transfer" => transfer.map(|transfer| Destinations {
            address: false,
            ..transfer
        }),
        "send_back" => of("send_back").map(|send_back| Destinations {
            account: false,
            ..send_back
        }),
        "split" if connector.primitive("split").is_some() => {
            // A part is named, or is a map of its item's members; where the account is read before, it is named.
            let is_read = connector
                .primitive("split")
                .is_some_and(|map| map.own_account.is_some());
            Some(Destinations {
                account: true,
                address: !is_read,
            })
        }
        // One of our own accounts by a transfer, if there is one, all others by a payout.
        "sweep" | "split" => Some(Destinations {
            account: transfer.or(payout).is_some_and(|own| own.account),
            address: payout.is_some_and(|payout| payout.address),
        }),
        _ => None,
    }
}
