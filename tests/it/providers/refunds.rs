//! Refunds of payments that were divided: the parts bear them as they were, once for each number, to the cent.

use std::time::Duration;

use bursar::model::run::RunState;
use bursar::simulator::config::payaut::{OverRefund, PayautConfig};
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use super::meanwhile::{elsewhere, waits_after};
use super::payaut::{SELLER, TREASURY, asked, code, made, payaut, run};
use crate::support::{World, passing};

const REFUND: &str = "payaut.create_refund_split";

/// A payment of 100 that was divided into 2.50 and 97.50, and what is done then.
fn after_split(world: &World, then: &str) -> String {
    let (seller, treasury) = (code(world, SELLER), code(world, TREASURY));
    format!(
        r#"let done = bank::split(#{{
            total: EUR(100), payment: "psp-1", processor: "ADYEN", reference: "order-1",
            parts: [
                #{{ name: "fee", to: "{treasury}", percent: 2.5, label: "COMMISSION" }},
                #{{ name: "seller", to: "{seller}", rest: true, label: "PRODUCT_ITEM" }},
            ],
        }});
        {then}"#
    )
}

/// The cents each part bears, refund by refund.
fn borne(world: &World) -> Vec<Vec<i64>> {
    let cents = |items: &Json| {
        let items = items.as_array().expect("items");
        items
            .iter()
            .map(|item| item["amount"].as_i64().expect("cents"))
            .collect()
    };
    made(world, "refund_split")
        .iter()
        .map(|effect| cents(&effect.destination))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_bear_a_refund_as_they_were_and_never_more_than_they_have_left() {
    let (world, clock) = payaut(|_| {}).await;
    world
        .simulator
        .control
        .add_fault(FaultRule::on(REFUND, FaultAction::DropAfterEffect).times(1));
    let script = after_split(
        &world,
        r#"let told = [];
        let part = bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(33.33), reference: "one shoe" });
        told.push([part.refunded, part.left, part.existed, part.resource, part.id, part.parts.map(|part| part.amount)]);
        try { bank::refund(#{ payment: "psp-1", refund: "back-2", amount: EUR(66.68) }); } catch (e) { told.push(e.message); }
        let rest = bank::refund(#{ payment: "psp-1", refund: "back-2", split: done.split });
        told.push([rest.refunded, rest.left]);
        try { bank::refund(#{ payment: "psp-1", refund: "back-3" }); } catch (e) { told.push(e.message); }
        told"#,
    );
    let run = run(&world, &clock, &script, json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let told = run.result.unwrap_or_default();
    let money = |amount: &str| json!({ "$money": format!("EUR {amount}") });
    assert_eq!(
        told[0],
        json!([
            money("33.33"),
            money("66.67"),
            false,
            "refund_split",
            "back-1",
            [money("0.83"), money("32.50")]
        ])
    );
    assert_eq!(
        told[1],
        "EUR 66.68 is more than the EUR 66.67 that may still go back: give back EUR 66.67 at most"
    );
    assert_eq!(told[2], json!([money("66.67"), money("0.00")]));
    assert!(
        told[3].as_str().unwrap_or_default().contains("nothing is left"),
        "{told}"
    );
    // Each part gave back exactly what it had.
    assert_eq!(borne(&world), [[83, 3_250], [167, 6_500]]);
    let items = &made(&world, "refund_split")[0].destination;
    let of = |index: usize| {
        (
            items[index]["extRef"].clone(),
            items[index]["originalExtRef"].clone(),
            items[index]["label"].clone(),
        )
    };
    assert_eq!(of(0), (json!("back-1/fee"), json!("order-1/fee"), json!("COMMISSION")));
    assert_eq!(
        of(1),
        (json!("back-1/seller"), json!("order-1/seller"), json!("PRODUCT_ITEM"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_the_same_number_is_the_one_that_is_there() {
    let (world, clock) = payaut(|_| {}).await;
    let script = after_split(
        &world,
        r#"bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(40), since: now() - days(2) })"#,
    );
    let first = run(&world, &clock, &script, json!({})).await;
    assert_eq!(first.state, RunState::Succeeded, "{:?}", first.error);
    // Another run, which knows nothing of the first.
    let again = r#"
        let told = "";
        try { bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(41) }); } catch (e) { told = e.message; }
        let back = bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(40) });
        [back.existed, back.refunded, back.left, told]
    "#;
    let again = run(&world, &clock, again, json!({})).await;
    assert_eq!(again.state, RunState::Succeeded, "{:?}", again.error);
    let money = |amount: &str| json!({ "$money": format!("EUR {amount}") });
    assert_eq!(
        again.result,
        Some(json!([
            true,
            money("40.00"),
            money("60.00"),
            "nothing was sent: refund back-1 is there already, over EUR 40.00"
        ]))
    );
    assert_eq!((asked(&world, REFUND), made(&world, "refund_split").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_back_by_others_hands_counts_and_what_cannot_be_read_is_for_a_person() {
    let (world, clock) = payaut(|_| {}).await;
    let told = r#"let told = "";
        try { bank::refund(#{ payment: "psp-1", refund: "back-9" }); } catch (e) { told = e.message; }
        told"#;
    // A whole one, as somebody makes it who names no items: nothing is left.
    let whole = r#"bank::create_refund_split(#{ ext_ref: "order-1", psp_mutation_ext_ref: "hand-1", total_amount: EUR(100) });"#;
    let ended = run(
        &world,
        &clock,
        &after_split(&world, &format!("{whole} {told}")),
        json!({}),
    )
    .await;
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
    let said = ended.result.unwrap_or_default();
    assert!(
        said.as_str()
            .unwrap_or_default()
            .contains("nothing is left to give back: EUR 100.00"),
        "{said}"
    );

    // Items that name no part of the split: whose share went back, nobody can tell.
    let (world, clock) = payaut(|_| {}).await;
    let seller = code(&world, SELLER);
    let other = format!(
        r#"bank::create_refund_split(#{{ ext_ref: "order-1", psp_mutation_ext_ref: "hand-1", total_amount: EUR(10),
            items: [#{{ type: "ITEM", ext_ref: "by-hand", amount: EUR(10), account_code: "{seller}" }}] }});"#
    );
    let ended = run(
        &world,
        &clock,
        &after_split(&world, &format!("{other} {told}")),
        json!({}),
    )
    .await;
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
    let said = ended.result.unwrap_or_default();
    assert!(
        said.as_str()
            .unwrap_or_default()
            .contains("whose parts went back before is not readable"),
        "{said}"
    );
    assert_eq!(made(&world, "refund_split").len(), 1);

    // A payment that nobody divided.
    let ended = run(&world, &clock, &told.replace("psp-1", "psp-2"), json!({})).await;
    let said = ended.result.unwrap_or_default();
    assert_eq!(said, "nothing was sent: no split of payment psp-2 is shown");
}

/// Somebody had the seller bear a refund alone: what goes back then comes from what each part has left.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_part_gave_back_alone_is_no_part_of_it_any_more() {
    let (world, clock) = payaut(|_| {}).await;
    let seller = code(&world, SELLER);
    let script = after_split(
        &world,
        &format!(
            r#"bank::create_refund_split(#{{ ext_ref: "order-1", psp_mutation_ext_ref: "hand-1", total_amount: EUR(90),
                items: [#{{ type: "ITEM", ext_ref: "hand-1-a", original_ext_ref: "order-1/seller", amount: EUR(90), account_code: "{seller}" }}] }});
            bank::refund(#{{ payment: "psp-1", refund: "back-1" }}).parts.map(|part| `${{part.of}} ${{part.amount}}`)"#
        ),
    );
    let run = run(&world, &clock, &script, json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        run.result,
        Some(json!(["order-1/fee EUR 2.50", "order-1/seller EUR 7.50"]))
    );
    assert_eq!(borne(&world), [[9_000].as_slice(), &[250, 750]]);
}

/// Lists that are behind for so long, at a provider that takes a refund of more than was paid.
fn behind(lag_ms: u64) -> impl FnOnce(&mut PayautConfig) {
    move |config| {
        config.visibility_lag_ms = lag_ms;
        config.over_refund = OverRefund::Accept;
    }
}

/// The cents of all refunds.
fn given_back(world: &World) -> i64 {
    borne(world).iter().flatten().sum()
}

/// What went back a moment ago is in no list yet, and all the same it is no part of what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_sees_the_one_just_before_it_though_the_lists_lag() {
    // The second is longer than the table has it.
    for lag_ms in [120_000, 900_000] {
        let (world, clock) = payaut(behind(lag_ms)).await;
        let script = after_split(
            &world,
            r#"bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(33.33), split: done.split });
            let rest = bank::refund(#{ payment: "psp-1", refund: "back-2", split: done.split });
            let told = "";
            try { bank::refund(#{ payment: "psp-1", refund: "back-3", split: done.split }); } catch (e) { told = e.message; }
            [rest.refunded, rest.left, told]"#,
        );
        let run = run(&world, &clock, &script, json!({})).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        assert_eq!(borne(&world), [[83, 3_250], [167, 6_500]], "{lag_ms}");
        let told = run.result.unwrap_or_default();
        let money = |amount: &str| json!({ "$money": format!("EUR {amount}") });
        assert_eq!((&told[0], &told[1]), (&money("66.67"), &money("0.00")));
        assert!(
            told[2].as_str().unwrap_or_default().contains("nothing is left"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_give_back_no_more_than_there_is_though_the_lists_lag() {
    let (world, clock) = payaut(behind(120_000)).await;
    let divided = run(&world, &clock, &after_split(&world, "done.split"), json!({})).await;
    assert_eq!(divided.state, RunState::Succeeded, "{:?}", divided.error);
    clock.advance(Duration::from_secs(120));
    let script = |number: &str, amount: &str| {
        format!(
            r#"let told = ""; try {{ bank::refund(#{{ payment: "psp-1", refund: "{number}"{amount} }}); }} catch (e) {{ told = e.message; }} told"#
        )
    };
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut runs = Vec::new();
    for script in [script("back-1", ", amount: EUR(40)"), script("back-2", "")] {
        runs.push(world.start(store.as_ref(), &script, json!({}), json!({})).await);
    }
    for id in runs {
        let run = passing(store.as_ref(), &clock, id, RunState::Waiting, Duration::from_secs(30)).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        // Either may be the first: then the other has what is left, or nothing.
        let told = run.result.unwrap_or_default();
        let told = told.as_str().unwrap_or_default();
        assert!(told.is_empty() || told.contains("nothing is left"), "{told}");
    }
    engine.stop().await;
    store.close().await.expect("closed");
    assert_eq!(given_back(&world), 10_000, "{:?}", borne(&world));
}

/// Somebody gives back most of it while a refund waits for its place: what is left is less than was read before.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_waited_sees_what_went_back_meanwhile() {
    let (mut world, clock) = payaut(behind(0)).await;
    let divided = run(&world, &clock, &after_split(&world, "done.split"), json!({})).await;
    assert_eq!(divided.state, RunState::Succeeded, "{:?}", divided.error);
    world.reconnect(|bank| bank.pace.requests_per_second = Some(1));
    let script = |number: &str, cents: u32| {
        format!(
            r#"let told = ""; try {{ bank::refund(#{{ payment: "psp-1", refund: "{number}", amount: EUR({cents}) }}); }} catch (e) {{ told = e.error; }} told"#
        )
    };
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let waits = world
        .start(store.as_ref(), &script("back-1", 40), json!({}), json!({}))
        .await;
    let looked = || asked(&world, "payaut.list_refund_splits") > 0;
    waits_after((store.as_ref(), waits), &clock, looked).await;
    elsewhere(&mut world, &script("back-2", 80)).await;
    let run = passing(store.as_ref(), &clock, waits, RunState::Waiting, Duration::from_secs(1)).await;
    engine.stop().await;
    store.close().await.expect("closed");
    assert_eq!(given_back(&world), 8_000, "{:?}: {:?}", borne(&world), run.result);
    assert_eq!(run.result, Some(json!("refunded_meanwhile")), "{:?}", run.error);
}

/// The list that is waited for cannot be read: what was booked is booked.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_cannot_be_seen_afterwards_was_made_all_the_same() {
    let (world, clock) = payaut(behind(120_000)).await;
    // Read once to see what went back before, and once before anything is sent; then never again for a while.
    let refused = FaultAction::Refusal {
        status: 422,
        code: "unprocessable".to_owned(),
    };
    let fault = FaultRule::on("payaut.list_refund_splits", refused).nth(3).times(1);
    world.simulator.control.add_fault(fault);
    let script = after_split(
        &world,
        r#"bank::refund(#{ payment: "psp-1", refund: "back-1", amount: EUR(40), split: done.split });
        bank::refund(#{ payment: "psp-1", refund: "back-2", split: done.split }).refunded"#,
    );
    let run = run(&world, &clock, &script, json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(run.result, Some(json!({ "$money": "EUR 60.00" })));
    assert_eq!(given_back(&world), 10_000, "{:?}", borne(&world));
}

/// Where parts are paid out one by one, the script sends them back itself: what each gives is told, and nothing moves.
#[tokio::test(flavor = "multi_thread")]
async fn what_parts_give_back_is_told_where_no_provider_remembers_them() {
    let world = World::demo().await;
    let script = r#"
        let parts = [
            #{ name: "fee", amount: EUR(2.50), failure: () },
            #{ name: "lost", amount: EUR(10), failure: #{ code: "account_closed" } },
            #{ name: "seller", amount: EUR(97.50), payout: #{ id: "p" } },
        ];
        let told = [];
        let first = reversal(#{ parts: parts, amount: EUR(33.33) });
        told.push(first.map(|part| `${part.name} ${part.back}`));
        try { reversal(#{ parts: first, amount: EUR(66.68) }); } catch (e) { told.push(e.message); }
        let rest = reversal(#{ parts: first, amount: EUR(66.67) });
        told.push(rest.map(|part| `${part.back} ${part.returned} ${part.left}`));
        told.push(rest[2].payout.id);
        try { reversal(#{ parts: [#{ name: "a", amount: 5 }], amount: EUR(1) }); } catch (e) { told.push(e.error); }
        told"#;
    let run = world.run(script).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        run.result,
        Some(json!([
            ["fee EUR 0.83", "lost EUR 0.00", "seller EUR 32.50"],
            "EUR 66.68 is more than the EUR 66.67 that may still go back: give back EUR 66.67 at most",
            [
                "EUR 1.67 EUR 2.50 EUR 0.00",
                "EUR 0.00 EUR 0.00 EUR 0.00",
                "EUR 65.00 EUR 97.50 EUR 0.00"
            ],
            "p",
            "invalid_argument",
        ]))
    );
    assert!(world.simulator.control.effects().is_empty());
}
