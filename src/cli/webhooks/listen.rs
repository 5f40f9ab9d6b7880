//! `bursar webhooks listen`: a door that verifies and shows what arrives, and keeps nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;

use crate::app::settings::Secrets;
use crate::base::clock::{Clock, SystemClock};
use crate::base::shutdown::Stopper;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::text::clean;
use crate::cli::{Context, Interrupts, connections};
use crate::model::event::{Delivery, Event};
use crate::server::counters::DoorCounters;
use crate::server::webhook::{self, DoorLimits, WebhookDoor};
use crate::trigger::webhook::{Listener, Refused};

/// Show webhooks as they arrive, and store nothing
///
/// A door for development: it verifies as the daemon does, and answers 200 to what it believes and 401 to what it does not,
/// with the reason here. Nothing starts. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The port, on this machine alone; 0 takes a free one
    #[arg(long, default_value_t = 8_081)]
    port: u16,
}

pub(super) async fn listen(args: Listen, context: &Context) -> Result<Exit, CliError> {
    let settings = context.workplace(Secrets::Optional)?;
    let connection = connections::named(&settings, &args.connection)?;
    let mut interrupts = Interrupts::listen()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| CliError::new(Exit::Failed, format!("cannot listen on {address}: {error}")))?;
    let address = listener.local_addr()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if connection.valid_secrets(clock.now()).next().is_none() {
        context.output.complain(&format!(
            "connection `{}` has no webhook secret that is good now: nothing will be believed",
            connection.name
        ));
    }
    let output = context.output;
    let heard = Listener {
        connections: Arc::new([(connection.name.clone(), connection.clone())].into()),
        clock,
        heard: Box::new(move |delivery, event| {
            // Whoever watches may have gone; the door goes on until it is told to stop.
            let _shown = show(output, delivery, event);
        }),
    };
    context.output.note(&format!(
        "http://{address}/hooks/{} takes webhooks and keeps none; Ctrl-C ends it",
        connection.name
    ));
    let (stopper, shutdown) = Stopper::new();
    let door = WebhookDoor::new(
        Arc::new(heard),
        Arc::new(DoorCounters::new()),
        DoorLimits::default(),
        settings.trusted_proxies.clone(),
    );
    let serving = tokio::spawn(webhook::serve(Arc::new(door), listener, shutdown));
    interrupts.next().await;
    stopper.stop();
    serving
        .await
        .map_err(|error| CliError::new(Exit::Failed, format!("the door ended badly: {error}")))?;
    Ok(Exit::Ok)
}

fn show(output: Output, delivery: &Delivery, event: Result<&Event, &Refused>) -> Result<(), CliError> {
    if output.json {
        let told = match event {
            Ok(event) => json!({
                "verified": true, "type": event.kind, "provider_id": event.provider_id, "subject": event.subject,
                "payload": event.payload.json(),
            }),
            Err(refused) => json!({"verified": false, "reason": refused.to_string()}),
        };
        return output.object("bursar.webhook.heard/1", &told);
    }
    let line = match event {
        Ok(event) => format!(
            "verified  {}  {}  {}",
            clean(&event.kind),
            clean(&event.provider_id),
            clean(event.subject.as_deref().unwrap_or_default())
        ),
        Err(refused) => format!(
            "refused   {refused}  (from {}, {} bytes)",
            delivery.sender,
            delivery.body.len()
        ),
    };
    output.print(&line)
}
