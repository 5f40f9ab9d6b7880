//! Providers beside the first, each as the connection `bank`, against the simulator over a real socket: what scripts do
//! there is judged by the ledger.

mod deaths;
mod fifth;
mod ivy;
mod lagoon;
mod meanwhile;
mod orders;
mod payaut;
mod payments;
mod positions;
mod refunds;
mod send_back;
mod splits;

use bursar::base::secret::Secret;
use bursar::connector::connection::WebhookSecret;
use bursar::connector::registry::Registry;

use crate::support::World;

/// Leads the connection `bank` of a world to another of its providers.
pub(crate) fn lead_to(world: &mut World, connector: &str, key: &str, webhook_secret: &str) {
    let connector = Registry::built_in().get(connector).expect("it is built in").clone();
    let base_url = format!("{}/{}", world.simulator.url(), connector.name);
    world.reconnect(|bank| {
        bank.connector = connector;
        bank.base_url = base_url;
        bank.credential = Some(Secret::new(key.to_owned()));
        bank.webhook_secrets = vec![WebhookSecret::always(Secret::new(webhook_secret.to_owned()))];
    });
}
