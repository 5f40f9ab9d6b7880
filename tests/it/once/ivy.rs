//! A provider whose returns heed no key, and whose refunds bear no mark: each is made once all the same.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::base::secret::Secret;
use bursar::connector::table::Connector;
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::config::ivy::{DEMO_API_KEY, IvyConfig};
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::support::{World, until};

const TABLE: &str = r#"name  = "toy"
title = "Toy"
doc   = "What a test needs of a provider."
base_url = { live = "https://api.example.com" }
auth = { scheme = "header", name = "X-Ivy-Api-Key" }
[money]
unit = "decimal_number"
[idempotency]
header = "Idempotency-Key"
max_length = 255
methods = ["POST"]
window_secs = 3600
[errors]
class = [{ status = 423, class = "retry", doc = "Busy." }]
[endpoint.give_back]
doc = "Returns a deposit."
method = "POST"
path = "/api/service/return/create"
effect = "moves_money"
amount = "whole"
key = "none"
look_first = true
exclusive = "{sent.deposit}"
in_doubt = "lookup"
params = [{ name = "deposit", wire = "depositId", type = "uuid", required = true, doc = "Which." }]
[endpoint.give_back.lookup]
endpoint = "show_deposit"
query = { id = "{sent.deposit}" }
items = "/returns"
match = { natural = { field = "deposit", pointer = "/depositId", dead = { pointer = "/status", values = ["failed"] } } }
several = "contradiction"
created_at = "/createdAt"
visibility_lag_secs = 600
covers_window = true
[endpoint.show_deposit]
doc = "Shows a deposit."
method = "POST"
path = "/api/service/deposit/retrieve"
effect = "read"
params = [{ name = "id", type = "uuid", required = true, doc = "Which." }]
[endpoint.order]
doc = "Asks for money."
method = "POST"
path = "/api/service/order/create"
effect = "write"
in_doubt = "repeat"
params = [
  { name = "amount", type = "decimal", currency = "currency", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
  { name = "number", wire = "referenceId", required = true, doc = "Your own." },
]
[endpoint.refund]
doc = "Refunds an order, in part."
method = "POST"
path = "/api/service/refund/create"
effect = "moves_money"
amount = { field = "amount" }
key = "none"
exclusive = "{before.order}"
in_doubt = "lookup"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "order", wire = "orderId", required = true, doc = "Which." },
]
[endpoint.refund.before]
endpoint = "show_order"
query = { id = "{sent.order}" }
absent_is_empty = true
keep = { order = "/id", refunds = "/refunds/*/id" }
require = [{ at = "/price/currency", is = ["{amount.currency}"], else = "the order is in another currency" }]
[endpoint.refund.lookup]
endpoint = "show_order"
query = { id = "{before.order}" }
items = "/refunds"
absent_is_empty = true
match = { fresh = { ids = "{before.refunds}", at = "/id", same = [{ at = "/amount", is = ["{sent.amount}"] }] } }
visibility_lag_secs = 120
covers_window = true
[endpoint.show_order]
doc = "Shows an order."
method = "POST"
path = "/api/service/order/details"
effect = "read"
params = [{ name = "id", required = true, doc = "Which." }]
"#;

struct Ivy {
    world: World,
    clock: ManualClock,
}

impl Ivy {
    async fn new() -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        let config = SimulatorConfig {
            ivy: IvyConfig::demo(),
            ..SimulatorConfig::demo()
        };
        let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
        let connector = Connector::parse("toy.toml", TABLE).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        let url = format!("{}/ivy", world.simulator.url().trim_end_matches('/'));
        world.reconnect(|bank| {
            bank.connector = Arc::new(connector);
            bank.base_url = url;
            bank.credential = Some(Secret::new(DEMO_API_KEY.to_owned()));
        });
        Self { world, clock }
    }

    fn lose(&self, operation: &'static str, fault: FaultAction) {
        let control = &self.world.simulator.control;
        control.add_fault(FaultRule::on(operation, fault).times(1));
    }

    /// Runs these scripts at the same time, each to its end.
    async fn run(&self, scripts: &[String]) -> Vec<Run> {
        let store = self.world.store().await;
        let engine = self.world.engine(store.clone()).await;
        let mut ids: Vec<RunId> = Vec::new();
        for script in scripts {
            ids.push(self.world.start(store.as_ref(), script, json!({}), json!({})).await);
        }
        let mut ended = Vec::new();
        for id in ids {
            ended.push(self.ended(store.as_ref(), id).await);
        }
        engine.stop().await;
        store.close().await.expect("closed");
        ended
    }

    async fn ended(&self, store: &dyn Store, id: RunId) -> Run {
        until(store, id, |run| {
            if run.state == RunState::Waiting {
                self.clock.advance(Duration::from_secs(20));
            }
            run.state.is_final() || run.state == RunState::Parked
        })
        .await
    }

    fn made(&self, kind: &str) -> usize {
        let effects = self.world.simulator.control.effects();
        effects.iter().filter(|effect| effect.kind == kind).count()
    }

    /// An order of 100 that was paid.
    async fn paid(&self) -> String {
        let order = r#"bank::order(#{ amount: EUR(100), number: "ORDER-1" }).id"#.to_owned();
        let run = self.run(&[order]).await.remove(0);
        let id = run.result.as_ref().and_then(|id| id.as_str()).map(str::to_owned);
        let id = id.unwrap_or_else(|| panic!("{:?}", run.error));
        let internal = Uuid::parse_str(&id).expect("an id");
        self.world
            .simulator
            .control
            .advance(internal, "paid", None)
            .expect("paid");
        id
    }
}

fn before_effect() -> FaultAction {
    FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_goes_back_once_whoever_asks_and_whatever_is_lost() {
    for (fault, asked) in [
        (None, 1),
        (Some(FaultAction::DropAfterEffect), 1),
        (Some(before_effect()), 2),
    ] {
        let ivy = Ivy::new().await;
        let control = &ivy.world.simulator.control;
        let deposit = control
            .create_deposit(&NewDeposit::new("Ivy EUR", "80.00", "INV-7"))
            .expect("it arrives");
        if let Some(fault) = fault.clone() {
            ivy.lose("ivy.create_return", fault);
        }
        let give_back = format!(r#"bank::give_back(#{{ deposit: "{deposit}" }}).id"#);
        let runs = ivy.run(&[give_back.clone(), give_back]).await;
        let states: Vec<_> = runs.iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Succeeded; 2], "{fault:?} {runs:#?}");
        assert_eq!(runs[0].result, runs[1].result, "{fault:?}");
        assert_eq!(control.requests()["ivy.create_return"].total, asked, "{fault:?}");
        assert_eq!(ivy.made("return"), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_equal_refunds_of_an_order_are_two_whatever_is_lost() {
    for fault in [None, Some(FaultAction::DropAfterEffect), Some(before_effect())] {
        let ivy = Ivy::new().await;
        let order = ivy.paid().await;
        if let Some(fault) = fault.clone() {
            ivy.lose("ivy.create_refund", fault);
        }
        let refund = format!(r#"bank::refund(#{{ order: "{order}", amount: EUR(5) }}).id"#);
        let runs = ivy.run(&[refund.clone(), refund]).await;
        let states: Vec<_> = runs.iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Succeeded; 2], "{fault:?} {runs:#?}");
        assert_ne!(runs[0].result, runs[1].result, "{fault:?}");
        assert_eq!(ivy.made("refund"), 2, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_in_another_currency_than_the_order_is_not_sent() {
    let ivy = Ivy::new().await;
    let order = ivy.paid().await;
    let refund = format!(r#"bank::refund(#{{ order: "{order}", amount: GBP(5) }}).id"#);
    let run = ivy.run(&[refund]).await.remove(0);
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.error.map(|error| error.code).as_deref(), Some("not_possible"));
    assert_eq!(ivy.made("refund"), 0);
}
