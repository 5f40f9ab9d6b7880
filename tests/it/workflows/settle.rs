//! `settle-supplier`: collected at one provider, sold and paid at another, each leg at its end before the next begins.

use bursar::model::run::RunState;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::simulator::resources::Failure;
use bursar::store::Store;
use serde_json::json;

use super::town::{self, Town, ended};
use crate::support::settled;

const WORKFLOW: &str = "settle-supplier";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_collected_is_sold_at_the_bank_and_paid_to_the_supplier() {
    let mut town = Town::of(WORKFLOW).await;
    town.hears_webhooks_alone();
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let slot = json!({ "type": "cron" });
    town.starts(store.as_ref(), slot.clone()).await;
    let run = ended(store.as_ref(), 0).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(town.effects("conversion"), ["EUR 15,000.00 completed"]);
    let payouts = town.effects("payout");
    let [bought, moved] = payouts.as_slice() else {
        panic!("{payouts:?}")
    };
    assert_eq!(moved, "EUR 15,000.00 paid");
    assert!(bought.starts_with("USDC 16,2") && bought.ends_with(" paid"), "{bought}");
    // What stays stays, and the bank's own money is untouched.
    let balance = |label: &str| {
        let control = &town.world.simulator.control;
        let account = control.account(label).expect("an account");
        control.balance(account).expect("a balance").to_string()
    };
    assert_eq!(
        [balance("Ivy EUR"), balance("Treasury EUR"), balance("USDC wallet")],
        ["EUR 5,000.00", "EUR 250,000.00", "USDC 40,000.000000"]
    );
    let next = town.starts(store.as_ref(), slot).await;
    assert_eq!(settled(store.as_ref(), next).await.state, RunState::Succeeded);
    assert_eq!(town.effects("payout").len(), 2, "nothing was collected since");
    assert!(town.world.audit(store.as_ref()).await.is_exact());
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_fails_leaves_the_money_where_it_is_and_says_so() {
    for (leg, place) in [
        ("ivy.create_payout", "the money is at the shop"),
        ("create_conversion", "EUR 15,000.00 are at the bank"),
        ("create_payout", "are in the wallet"),
    ] {
        let town = Town::of(WORKFLOW).await;
        let store = town.world.store().await;
        let process = town.opens(store.clone()).await;
        let failure = match leg {
            "create_conversion" => Failure::new("conversion_failed", "the market is closed", false),
            _ => Failure::new("account_blocked", "the account is blocked", false),
        };
        let fails = FaultRule::on(leg, FaultAction::FailLater { failure });
        town.world.simulator.control.add_fault(fails);
        town.starts(store.as_ref(), json!({ "type": "cron" })).await;
        let run = ended(store.as_ref(), 0).await;
        let error = run.error.expect("a reason");
        assert_eq!(run.state, RunState::Failed, "{leg}");
        assert!(error.message.contains(place), "{leg}: {error:?}");
        process.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_legs_at_two_providers_survive_a_crash_at_every_write() {
    let begin = async |town: &Town, store: &dyn Store| {
        town.starts(store, json!({ "type": "cron" })).await;
    };
    let town = Town::of(WORKFLOW).await;
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    begin(&town, store.as_ref()).await;
    ended(store.as_ref(), 0).await;
    let audit = town.world.audit(store.as_ref()).await;
    assert_eq!((audit.is_exact(), audit.paid()), (true, 3), "{audit}");
    process.ends().await;
    town::survives_a_crash_at_every_write(WORKFLOW, begin, &format!("1 run succeeded; {audit}")).await;
}
