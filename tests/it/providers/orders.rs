//! Payments that somebody makes to us, and what goes back of them: the primitives around orders, over a real socket.

use std::time::Duration;

use bursar::base::clock::ManualClock;
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SubscriptionSeed;
use bursar::simulator::config::ivy::ListOrder;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::store::EventQuery;
use serde_json::{Value as Json, json};

use super::ivy::{door, ivy, run};
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, settled, until};

/// What a script ends with.
fn told(run: Run) -> Json {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    run.result.unwrap_or_default()
}

/// An order of this number over 100 that was paid; its id.
async fn paid(world: &World, clock: &ManualClock, number: &str) -> String {
    let script = format!(
        r#"let order = bank::order(#{{ amount: EUR(100), reference: "{number}" }});
        [order.id, order.statement_reference, order.resource, order.status, order.pay_to.type]"#
    );
    let order = told(run(world, clock, &script).await);
    assert_eq!(
        (&order[2], &order[3], &order[4]),
        (&json!("order"), &json!("processing"), &json!("iban"))
    );
    let reference = order[1].as_str().expect("a reference");
    let transfer = NewDeposit::new("Ivy EUR", "100.00", reference);
    world.simulator.control.create_deposit(&transfer).expect("it arrives");
    order[0].as_str().expect("an id").to_owned()
}

async fn audited(world: &World) -> String {
    let store = world.store().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await.to_string();
    store.close().await.expect("closed");
    audit
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_and_given_back_in_parts_and_never_more_than_is_left() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let order = paid(&world, &clock, "INV-1").await;
    // The answer to the first part is lost, and it is given back once.
    let lost = FaultRule::on("ivy.create_refund", FaultAction::DropAfterEffect).times(1);
    world.simulator.control.add_fault(lost);
    let script = format!(
        r#"let paid = bank::settled(#{{ resource: "order", id: "{order}" }}, "1d");
        let part = bank::refund(#{{ payment: "{order}", amount: EUR(40), reference: "PART1" }});
        let ended = bank::settled(part, "1d");
        let over = "";
        try {{ bank::refund(#{{ payment: "{order}", amount: EUR(60.01) }}); }} catch (e) {{ over = e.message; }}
        let rest = bank::refund(#{{ payment: "{order}" }});
        let ended_too = bank::settled(rest, "1d");
        let nothing = "";
        try {{ bank::refund(#{{ payment: "{order}" }}); }} catch (e) {{ nothing = e.message; }}
        [paid.status, part.refunded, part.left, ended.status, over, rest.refunded, rest.left, ended_too.status, nothing]"#
    );
    let told = told(run(&world, &clock, &script).await);
    let money = |amount: &str| json!({ "amount": amount, "currency": "EUR" });
    let shown: Vec<String> = told.as_array().expect("a list").iter().map(Json::to_string).collect();
    assert_eq!(told[0], "paid");
    for (at, amount) in [(1, "40.00"), (2, "60.00"), (5, "60.00"), (6, "0.00")] {
        assert!(
            shown[at].contains(amount),
            "{at}: {} is not {}",
            shown[at],
            money(amount)
        );
    }
    assert_eq!((&told[3], &told[7]), (&json!("succeeded"), &json!("succeeded")));
    assert!(
        shown[4].contains("EUR 60.01 is more than the EUR 60.00 that may still go back"),
        "{}",
        shown[4]
    );
    assert!(shown[8].contains("nothing is left to give back"), "{}", shown[8]);
    assert!(
        audited(&world)
            .await
            .starts_with("2 intended, 2 paid, 0 twice, 0 missing")
    );
    assert_eq!(
        world
            .simulator
            .control
            .balance(world.simulator.control.account("Ivy EUR").expect("an account"))
            .expect("a balance")
            .to_string(),
        "EUR 1,000.00"
    );
}

/// No answer comes: what was not there before is ours, and an equal refund after it is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_nobody_heard_of_is_found_by_what_was_not_there_before() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let order = paid(&world, &clock, "INV-5").await;
    let control = &world.simulator.control;
    control.add_fault(FaultRule::on("ivy.create_refund", FaultAction::DropAfterEffect).times(4));
    let script = format!(
        r#"let one = bank::refund(#{{ payment: "{order}", amount: EUR(30) }});
        bank::settled(one, "1d");
        let two = bank::refund(#{{ payment: "{order}", amount: EUR(30) }});
        [one.id != two.id, two.left]"#
    );
    let told = told(run(&world, &clock, &script).await);
    assert_eq!(told[0], true);
    assert!(told[1].to_string().contains("40.00"), "{told}");
    assert!(
        audited(&world)
            .await
            .starts_with("2 intended, 2 paid, 0 twice, 0 missing")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_called_off_before_it_is_paid_and_not_after() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let script = r#"
        let order = bank::order(#{ amount: EUR(5), reference: "INV-2" });
        let ended = bank::cancel(order);
        let other = "";
        try { bank::cancel(#{ resource: "payout", id: order.id }); } catch (e) { other = e.message; }
        [ended.status, ended.resource, other]
    "#;
    let told = told(run(&world, &clock, script).await);
    assert_eq!((&told[0], &told[1]), (&json!("canceled"), &json!("order")));
    assert_eq!(
        told[2],
        "connection `bank` calls off resources of the kind `order`, not `payout`"
    );
    let order = paid(&world, &clock, "INV-3").await;
    let script = format!(r#"bank::cancel(#{{ resource: "order", id: "{order}" }})"#);
    // The provider's word for it, 409, is also its word for a call that is still under way: a person looks.
    assert_eq!(run(&world, &clock, &script).await.state, RunState::Parked);
    let id = order.parse().expect("an id");
    let shown = world.simulator.control.resource(id).expect("it is there");
    assert_eq!(shown["status"], "paid");
}

/// Told first that the bank has authorised it, which ends nothing, then that it is paid: it is read once, at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_an_order_goes_on_when_it_is_told_that_it_is_paid() {
    let (mut world, clock) = ivy(ListOrder::NewestFirst).await;
    world.settings.poll_first = Duration::from_secs(7_200);
    world.settings.poll_ceiling = Duration::from_secs(7_200);
    let store = world.store().await;
    let (address, stopper, door) = door(&world, store.clone()).await;
    let control = world.simulator.control.clone();
    let subscription = SubscriptionSeed {
        url: format!("http://{address}/hooks/bank"),
        events: vec!["order_updated".to_owned()],
        secret: None,
    };
    control.add_subscription_at("ivy", &subscription).expect("subscribed");
    let engine = world.engine(store.clone()).await;
    let script = r#"
        let order = bank::order(#{ amount: EUR(5), reference: "INV-7" });
        state::set("order", order.id);
        bank::settled(order, "1d").status
    "#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let begun = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let order = store
        .state(&begun.workflow, "order")
        .await
        .expect("read")
        .expect("kept");
    let order = order.as_text().expect("an id").parse().expect("an id");
    let told = async |kind: &str| {
        let patience = Patience::new(Duration::from_secs(20));
        let query = EventQuery {
            kind: Some(kind.to_owned()),
            limit: 9,
            ..EventQuery::default()
        };
        while store.events(query.clone()).await.expect("read").is_empty() {
            assert!(!patience.is_over(), "{kind} is not told");
            clock.advance(Duration::from_millis(10));
            pause(Duration::from_millis(5)).await;
        }
    };
    control.advance(order, "waiting_for_payment", None).expect("it goes on");
    told("order.waiting_for_payment").await;
    let waiting = store.run(id).await.expect("read").expect("there");
    assert_eq!(
        (waiting.state, waiting.turns),
        (RunState::Waiting, begun.turns),
        "that ends no wait"
    );
    control.advance(order, "paid", None).expect("it is paid");
    told("order.paid").await;
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.result, Some(json!("paid")), "{:?}", run.error);
    let looks = control.requests().get("ivy.retrieve_order").map(|count| count.total);
    assert_eq!(looks, Some(1));
    engine.stop().await;
    stopper.stop();
    door.await.expect("the door closes");
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_is_returned_once_though_a_person_did_it_meanwhile() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let control = &world.simulator.control;
    let id = control
        .create_deposit(&NewDeposit::new("Ivy EUR", "25.00", "who knows"))
        .expect("it arrives");
    // Nothing tells a second call from a repeated one here: it is looked for, never sent blindly again.
    control.add_fault(FaultRule::on("ivy.create_return", FaultAction::DropAfterEffect).times(1));
    let script = format!(
        r#"let first = bank::return_deposit("{id}", #{{ reason: "unmatched" }});
        let second = bank::return_deposit("{id}");
        [first.existed, second.existed, first.id == second.id, first.resource]"#
    );
    let told = told(run(&world, &clock, &script).await);
    assert_eq!(told, json!([false, true, true, "return"]));
    assert!(
        audited(&world)
            .await
            .starts_with("1 intended, 1 paid, 0 twice, 0 missing")
    );
}

/// The amount on the wire is a bare number: in another currency it would be another amount.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_moved_in_another_currency_than_was_said() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let order = paid(&world, &clock, "INV-6").await;
    let account = world.simulator.control.account("Ivy EUR").expect("an account");
    let script = format!(
        r#"let told = [];
        try {{ bank::create_refund(#{{ order_id: "{order}", amount: USD(40) }}); }} catch (e) {{ told.push(e.message); }}
        try {{ bank::execute_fx(#{{ source_account_id: "{account}", target_account_id: "{account}", source_amount: GBP(40) }}); }}
        catch (e) {{ told.push(e.message); }}
        try {{ bank::order(#{{ amount: EUR(99), reference: "INV-6" }}); told.push("made"); }} catch (e) {{ told.push(e.message); }}
        told"#
    );
    let told = told(run(&world, &clock, &script).await);
    assert!(
        told[0].to_string().contains("the order is in another currency"),
        "{told}"
    );
    assert!(
        told[1].to_string().contains("the account is in another currency"),
        "{told}"
    );
    assert!(world.simulator.control.effects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_movements_and_payees_are_asked_for() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let order = paid(&world, &clock, "INV-4").await;
    let control = &world.simulator.control;
    let account = control.account("Ivy EUR").expect("an account");
    let script = format!(
        r#"let price = bank::quote(#{{ from: "USDC", to: "EUR", amount: USDC(100) }});
        let booked = bank::transactions(#{{ account: "{account}" }});
        let payee = bank::verify_payee(#{{ name: "Somebody Else", iban: "DE02120300000000202051" }});
        [price.sold, price.rate > 0, price.fee, booked.len(), booked[0].amount, booked[0].side, payee.result]"#
    );
    let told = told(run(&world, &clock, &script).await);
    assert!(told[0].to_string().contains("100.000000"), "{told}");
    assert_eq!((&told[1], &told[2]), (&json!(true), &json!(null)));
    assert_eq!(told[3], 1, "{told} {order}");
    assert!(told[4].to_string().contains("100.00"), "{told}");
    assert_eq!(told[6], "not_possible");
}
