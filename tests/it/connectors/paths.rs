//! Paths that a connection says itself: checked against its table, used by every call, and told.

use bursar::app::settings::{Overrides, Secrets, Settings, SettingsError, load_from};
use bursar::connector::request::prepare;
use bursar::model::value::{Map, Value};
use tempfile::tempdir;

const HEAD: &str = "[connection.bank]\nconnector = \"augustus\"\nenvironment = \"sandbox\"\n";

fn settings(paths: &str) -> Result<Settings, Vec<String>> {
    let folder = tempdir().unwrap();
    let file = folder.path().join("bursar.toml");
    std::fs::write(&file, format!("{HEAD}[connection.bank.paths]\n{paths}\n")).unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    load_from(&overrides, Secrets::Optional, &|_| None).map_err(|error| match error {
        SettingsError::Wrong(wrong) => wrong
            .into_iter()
            .map(|finding| format!("{} {}", finding.message, finding.help.unwrap_or_default()))
            .collect(),
        other => panic!("{other}"),
    })
}

#[test]
fn a_call_goes_to_the_path_that_its_connection_says() {
    let settings = settings("retrieve_payout = \"/v2/payouts/{id}/full\"").unwrap();
    let bank = &settings.connections["bank"];
    let path = |name: &str, param: &str| {
        let endpoint = bank.connector.endpoint(name).unwrap();
        let args = Map::from([(param.to_owned(), Value::text("018f1f6e-0000-7000-8000-000000000001"))]);
        prepare(bank, endpoint, &args, None).unwrap().request.path
    };
    let id = "018f1f6e-0000-7000-8000-000000000001";
    assert_eq!(path("retrieve_payout", "id"), format!("/v2/payouts/{id}/full"));
    assert_eq!(path("retrieve_deposit", "id"), format!("/v1/deposits/{id}"));
    let own: Vec<(&str, &str)> = bank
        .connector
        .own_paths()
        .map(|(endpoint, written)| (endpoint.name.as_str(), written))
        .collect();
    assert_eq!(own, [("retrieve_payout", "/v1/payouts/{id}")]);
    // What other connections go by is as it was.
    let table = settings.registry.get("augustus").unwrap();
    assert_eq!(table.endpoint("retrieve_payout").unwrap().path, "/v1/payouts/{id}");
}

#[test]
fn a_path_that_cannot_stand_for_the_tables_own_is_refused() {
    for (paths, expected) in [
        (
            "retreive_payout = \"/x\"",
            "no call `retreive_payout` did you mean `retrieve_payout`?",
        ),
        ("retrieve_payout = \"v2/payouts/{id}\"", "cannot have the path"),
        ("retrieve_payout = \"/v2//{id}\"", "cannot have the path"),
        ("retrieve_payout = \"/v2/../{id}\"", "cannot have the path"),
        ("retrieve_payout = \"/v2/{id}?full=1\"", "and no query"),
        ("retrieve_payout = \"/v2/payouts\"", "has other parameters"),
        (
            "retrieve_payout = \"/v2/payouts/{payout}\"",
            "the table has `/v1/payouts/{id}`",
        ),
        ("retrieve_payout = \"/v2/{id}/{id}\"", "has other parameters"),
        (
            "create_payout = \"/v1/returns\"",
            "cannot have the path of `create_return`",
        ),
        ("create_payout = 1", "text in quotes"),
    ] {
        let told = settings(paths).err().unwrap_or_default();
        assert!(told.iter().any(|told| told.contains(expected)), "{paths}: {told:#?}");
    }
    // Two may change places.
    settings("create_payout = \"/v1/returns\"\ncreate_return = \"/v1/payouts\"").unwrap();
}
