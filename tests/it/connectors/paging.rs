//! The ways in which lists come: each walked to its end, and none taken for whole that may not be.

use std::collections::BTreeSet;
use std::sync::Arc;

use bursar::connector::connection::Connection;
use bursar::connector::lookup::{Progress, Search};
use bursar::connector::page::{Next, Walk, turn_to};
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::journal::{Intent, StoredRequest};
use bursar::model::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::{bank, endpoint, time};

/// A provider whose only list comes in this way, and a call that is looked for in it.
fn table(pagination: &str) -> String {
    let method = if pagination.contains("in = \"body\"") {
        "POST"
    } else {
        "GET"
    };
    format!(
        r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = {{ live = "https://api.example.com" }}
auth = {{ scheme = "bearer" }}
[pagination.paged]
{pagination}
[endpoint.list]
doc = "Lists."
method = "{method}"
path = "/things"
effect = "read"
list = "paged"
[endpoint.make]
doc = "Makes."
method = "POST"
path = "/things"
effect = "write"
our_reference = "note"
in_doubt = "lookup"
params = [{{ name = "note", doc = "For our reference." }}]
[endpoint.make.lookup]
endpoint = "list"
match = {{ reference = "/note" }}
created_at = "/made"
margin_secs = 1
visibility_lag_secs = 1
covers_window = true
"#
    )
}

fn toy(pagination: &str) -> Connection {
    let mut text = table(pagination);
    if [BARE_OFFSET, BARE_PAGE].contains(&pagination) {
        // A list in which nothing can be looked for.
        text.truncate(text.find("[endpoint.make]").unwrap());
    }
    let connector = Connector::parse("connectors/toy.toml", &text).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    Connection {
        connector: Arc::new(connector),
        ..bank()
    }
}

const WHOLE: &str = "style = \"whole\"\nitems = \"\"";
const CURSOR: &str = r#"style = "cursor"
in = "body"
items = "/data"
next = "/paging/next"
more = "/paging/more"
cursor = { param = "after_cursor", wire = "afterCursor" }"#;
const LAST_ITEM: &str = r#"style = "last_item"
items = "/data"
id = "/id"
after = "starting_after"
limit = { param = "limit", size = 3 }"#;
const OFFSET: &str = r#"style = "offset"
in = "body"
items = "/data"
id = "/id"
more = "/more"
total = "/count"
offset = "skip"
limit = { param = "limit", size = 3 }"#;
const PAGE: &str = r#"style = "page"
items = "/data"
id = "/id"
total = "/count"
page = { param = "page_number", wire = "_pageNumber", first = 1 }
limit = { param = "page_size", wire = "_pageSize", size = 3 }"#;
/// As poor as can be: no word of an end anywhere.
const BARE_OFFSET: &str =
    "style = \"offset\"\nitems = \"/data\"\noffset = \"skip\"\nlimit = { param = \"limit\", size = 3 }";
const BARE_PAGE: &str = "style = \"page\"\nitems = \"/data\"\npage = { param = \"page\", first = 0 }";

/// What a request asks for under a name of the wire.
fn asked(request: &StoredRequest, name: &str) -> Option<String> {
    if let Some(body) = &request.body {
        let body: Json = serde_json::from_str(body).unwrap();
        return body
            .get(name)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let (_, query) = request.path.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}

/// A provider's list, answering as its way of paging has it. `most` is the longest page it makes, whatever is asked.
fn answer(pagination: &str, request: &StoredRequest, ids: &[u32], most: usize) -> Json {
    let number = |name: &str| asked(request, name).map(|text| text.parse::<usize>().unwrap());
    let item =
        |id: &u32| json!({"id": format!("t_{id}"), "made": "2026-05-01T09:30:00Z", "note": format!("other/{id}")});
    let size = number("limit").or_else(|| number("_pageSize")).unwrap_or(3).min(most);
    let cut = |from: usize| ids.iter().skip(from).take(size).map(item).collect::<Vec<_>>();
    let after = |name: &str| {
        asked(request, name).map_or(0, |last| {
            let is_last = |id: &u32| format!("t_{id}") == last;
            ids.iter().position(is_last).map_or(ids.len(), |index| index + 1)
        })
    };
    match pagination {
        WHOLE => json!(ids.iter().map(item).collect::<Vec<_>>()),
        CURSOR => {
            let from = number("afterCursor").unwrap_or(0);
            let more = from + size < ids.len();
            let next = more.then(|| (from + size).to_string());
            json!({"data": cut(from), "paging": {"more": more, "next": next}})
        }
        LAST_ITEM => json!({"data": cut(after("starting_after"))}),
        OFFSET | BARE_OFFSET => {
            let from = number("skip").unwrap();
            let page = json!({"data": cut(from), "count": ids.len(), "more": from + size < ids.len()});
            if pagination == OFFSET {
                page
            } else {
                json!({"data": cut(from)})
            }
        }
        PAGE => json!({"data": cut((number("_pageNumber").unwrap() - 1) * size), "count": ids.len()}),
        _ => json!({"data": cut(number("page").unwrap() * size)}),
    }
}

/// Walks a list that `between` changes after each page: what it showed, and how it ended.
fn walk(
    pagination: &str,
    ids: &mut Vec<u32>,
    most: usize,
    mut between: impl FnMut(&mut Vec<u32>),
) -> (Vec<String>, Next) {
    let toy = toy(pagination);
    let list = endpoint(&toy, "list");
    let mut request = prepare(&toy, list, &Map::new(), None).unwrap().request;
    let mut walk = Walk::of_request(list, &request);
    let mut shown = Vec::new();
    for _ in 0..100 {
        let page = Value::from_plain(&answer(pagination, &request, ids, most)).unwrap();
        let (items, next) = walk.take(&page);
        shown.extend(items.iter().map(|item| item.get("id").unwrap().to_string()));
        match next {
            Next::At(page) => request = turn_to(list, &request, &page),
            over => return (shown, over),
        }
        between(ids);
    }
    panic!("{pagination}: it is walked for ever");
}

const ALL: [&str; 7] = [WHOLE, CURSOR, LAST_ITEM, OFFSET, PAGE, BARE_OFFSET, BARE_PAGE];

#[test]
fn every_way_of_paging_shows_every_item_once_and_ends() {
    for pagination in ALL {
        for length in 0..=10 {
            // A provider may make shorter pages than were asked for: they are no end.
            for most in [1, 2, 3] {
                let mut ids: Vec<u32> = (0..length).collect();
                let expected: Vec<String> = ids.iter().map(|id| format!("t_{id}")).collect();
                let (shown, end) = walk(pagination, &mut ids, most, |_| {});
                assert_eq!(
                    (shown, end),
                    (expected, Next::End),
                    "{length} items, {most} at once: {pagination}"
                );
            }
        }
    }
}

const SEED: u64 = 0x0b5e_55ed;

#[test]
fn a_list_that_shifts_while_it_is_read_is_whole_or_is_said_not_to_be() {
    let mut seed = SEED;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below.max(1)
    };
    for pagination in [OFFSET, PAGE] {
        let (mut whole, mut lost) = (0, 0);
        for round in 0..3000u32 {
            let length = 1 + random(12);
            let mut ids: Vec<u32> = (0..u32::try_from(length).unwrap()).collect();
            let mut always: BTreeSet<u32> = ids.iter().copied().collect();
            let mut new = 1000;
            let kind = random(4);
            let (shown, end) = walk(pagination, &mut ids, 3, |ids| {
                match kind {
                    // One kind of change in each walk: what came, what went, what moved.
                    0 => {
                        new += 1;
                        ids.insert(random(ids.len() + 1), new);
                    }
                    1 if !ids.is_empty() => {
                        let gone = ids.remove(random(ids.len()));
                        always.remove(&gone);
                    }
                    2 if !ids.is_empty() => {
                        let moved = ids.remove(random(ids.len()));
                        ids.insert(0, moved);
                    }
                    _ => {}
                }
            });
            match end {
                Next::End => {
                    whole += 1;
                    for id in &always {
                        assert!(
                            shown.contains(&format!("t_{id}")),
                            "round {round} of {SEED:#x}: {id} slipped by: {pagination}"
                        );
                    }
                }
                Next::Lost(_) => lost += 1,
                Next::At(page) => panic!("{page}"),
            }
        }
        assert!(whole > 300 && lost > 300, "{whole} whole, {lost} not: {pagination}");
    }
}

/// What a search in this list comes to when it is answered with these pages, whatever it asks for.
fn sought(pagination: &str, pages: &[Json]) -> String {
    let toy = toy(pagination);
    let make = endpoint(&toy, "make");
    let prepared = prepare(&toy, make, &Map::new(), Some("run_1/3")).unwrap();
    let intent = Intent {
        connection: "toy".to_owned(),
        endpoint: "make".to_owned(),
        epoch: 0,
        key: None,
        key_safe_until: None,
        reference: "run_1/3".to_owned(),
        fingerprint: prepared.fingerprint,
        request: prepared.request,
        movement: None,
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    };
    let sent = time("2026-05-01T09:30:00Z");
    let mut search = Search::begin(&toy, make, &intent, sent, sent).unwrap();
    for page in pages {
        let page = Value::from_plain(page).unwrap();
        match search.take(&page, time("2026-05-01T12:00:00Z")) {
            Progress::Next(further) => search = *further,
            Progress::Lost(reason) => return reason,
            other => return format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
        }
    }
    "Next".to_owned()
}

#[test]
fn what_is_no_end_proves_no_absence() {
    let item = |id: u32| json!({"id": id, "made": "2026-05-01T09:30:00Z", "note": "other"});
    let ours = json!({"id": 9, "made": "2026-05-01T09:30:00Z", "note": "run_1/3"});
    let data = |ids: &[u32]| json!({"data": ids.iter().map(|id| item(*id)).collect::<Vec<_>>()});
    let of = |ids: &[u32], more: &[(&str, Json)]| {
        let mut page = data(ids);
        for (name, value) in more {
            page[*name] = value.clone();
        }
        page
    };
    let more = |more: Json, next: Json| json!({"data": [item(1)], "paging": {"more": more, "next": next}});
    let total = |ids: &[u32], total: u32| of(ids, &[("count", json!(total))]);
    let cases = [
        (WHOLE, vec![json!([])], "Absent"),
        (WHOLE, vec![json!([item(1)])], "Absent"),
        (WHOLE, vec![json!([item(1), ours])], "Found"),
        (CURSOR, vec![more(json!(false), json!(null))], "Absent"),
        (CURSOR, vec![more(json!(true), json!("c"))], "Next"),
        (
            CURSOR,
            vec![more(json!(true), json!(null))],
            "it says that there is more, and not where",
        ),
        (
            CURSOR,
            vec![more(json!(true), json!(""))],
            "it says that there is more, and not where",
        ),
        (
            CURSOR,
            vec![more(json!(true), json!(7)), more(json!(true), json!("7"))],
            "it leads back",
        ),
        (LAST_ITEM, vec![data(&[])], "Absent"),
        (LAST_ITEM, vec![data(&[1, 2])], "Next"),
        (LAST_ITEM, vec![data(&[1, 2, 3]), data(&[])], "Absent"),
        (
            LAST_ITEM,
            vec![data(&[1, 2, 3]), data(&[1, 2, 3])],
            "it shows again what was shown before",
        ),
        (
            LAST_ITEM,
            vec![json!({"data": [{"note": "x"}]})],
            "its last item has no id",
        ),
        (OFFSET, vec![total(&[], 0)], "Absent"),
        (OFFSET, vec![total(&[1, 2, 3], 3)], "Absent"),
        (OFFSET, vec![of(&[1, 2, 3], &[("more", json!(false))])], "Absent"),
        (
            OFFSET,
            vec![of(&[1, 2, 3], &[("more", json!(true)), ("count", json!(3))])],
            "Next",
        ),
        (
            OFFSET,
            vec![of(&[1, 2, 3], &[("more", json!(false)), ("count", json!(4))])],
            "it has 4 items and showed 3",
        ),
        (
            OFFSET,
            vec![total(&[1, 2, 3], 6), total(&[3, 4, 5], 6), total(&[5, 6], 6)],
            "Absent",
        ),
        // One went, and the next moved up past the page that was read.
        (
            OFFSET,
            vec![total(&[1, 2, 3], 6), total(&[4, 5, 6], 5)],
            "it changed while it was read",
        ),
        (
            OFFSET,
            vec![total(&[1, 2, 3], 6), total(&[], 6)],
            "it changed while it was read",
        ),
        // One came before the others: nothing slipped by, but the list has more than was shown.
        (
            OFFSET,
            vec![total(&[1, 2, 3], 4), total(&[2, 3, 4], 5), total(&[4], 5)],
            "it has 5 items and showed 4",
        ),
        (
            OFFSET,
            vec![total(&[1, 2, 3], 9), total(&[1, 2, 3], 9)],
            "it shows again what was shown before",
        ),
        (
            OFFSET,
            vec![of(&[], &[("more", json!(true))])],
            "it says that there is more, and shows nothing",
        ),
        (PAGE, vec![total(&[1, 2, 3], 3)], "Absent"),
        (PAGE, vec![total(&[1, 2, 3], 6), total(&[4, 5, 6], 6)], "Absent"),
        (
            PAGE,
            vec![total(&[1, 2, 3], 6), total(&[3, 4, 5], 6), total(&[6], 6)],
            "Absent",
        ),
        (
            PAGE,
            vec![total(&[1, 2, 3], 6), total(&[5, 6], 5), total(&[], 5)],
            "it has 6 items and showed 5",
        ),
        (
            PAGE,
            vec![data(&[1, 2, 3]), data(&[3, 4]), data(&[])],
            "it changed while it was read",
        ),
        (PAGE, vec![data(&[1, 2, 3]), data(&[4]), data(&[])], "Absent"),
    ];
    for (pagination, pages, expected) in cases {
        let told = sought(pagination, &pages);
        assert!(
            told.contains(expected),
            "{told}, not {expected}: {pages:?}\n{pagination}"
        );
    }
}

#[test]
fn where_a_list_begins_is_said_and_where_it_goes_on_is_asked_for_in_its_place() {
    let first = |pagination: &str| {
        let toy = toy(pagination);
        let request = prepare(&toy, endpoint(&toy, "list"), &Map::new(), None)
            .unwrap()
            .request;
        (toy, request)
    };
    let cases = [
        (WHOLE, "/things", None, Value::Null, "/things", None),
        (
            CURSOR,
            "/things",
            Some("{}"),
            Value::text("c"),
            "/things",
            Some(r#"{"afterCursor":"c"}"#),
        ),
        (
            LAST_ITEM,
            "/things?limit=3",
            None,
            Value::text("t 1"),
            "/things?limit=3&starting_after=t%201",
            None,
        ),
        (
            OFFSET,
            "/things",
            Some(r#"{"limit":3,"skip":0}"#),
            Value::Int(2),
            "/things",
            Some(r#"{"limit":3,"skip":2}"#),
        ),
        (
            PAGE,
            "/things?_pageSize=3&_pageNumber=1",
            None,
            Value::Int(2),
            "/things?_pageSize=3&_pageNumber=2",
            None,
        ),
        (BARE_PAGE, "/things?page=0", None, Value::Int(1), "/things?page=1", None),
    ];
    for (pagination, path, body, page, next_path, next_body) in cases {
        let (toy, request) = first(pagination);
        assert_eq!(
            (request.path.as_str(), request.body.as_deref()),
            (path, body),
            "{pagination}"
        );
        let next = turn_to(endpoint(&toy, "list"), &request, &page);
        assert_eq!(
            (next.path.as_str(), next.body.as_deref()),
            (next_path, next_body),
            "{pagination}"
        );
    }
}

#[test]
fn a_table_is_told_what_a_way_of_paging_needs() {
    let cases = [
        (
            OFFSET,
            "offset = \"skip\"\n",
            "",
            "a list of style `offset` needs `offset`: the parameter that takes how many",
        ),
        (
            PAGE,
            "first = 1",
            "frist = 1",
            "unknown key `frist` (did you mean `first`?)",
        ),
        (PAGE, ", first = 1", "", "missing field `first`"),
        (
            LAST_ITEM,
            "id = \"/id\"\n",
            "",
            "a list of style `last_item` needs `id`: where the id of an item stands",
        ),
        (
            LAST_ITEM,
            "after = ",
            "cursor = ",
            "a list of style `last_item` has no `cursor`",
        ),
        (LAST_ITEM, "size = 3", "size = 0", "a page of no items leads nowhere"),
        (
            CURSOR,
            "in = \"body\"",
            "in = \"path\"",
            "pages are asked for in the query or in the body",
        ),
        (
            CURSOR,
            "style = \"cursor\"",
            "style = \"offset\"",
            "a list of style `offset` has no `next`",
        ),
        (OFFSET, "more = \"/more\"", "more = \"more\"", "`more` is not a pointer"),
        (
            OFFSET,
            "id = \"/id\"\n",
            "",
            "`list` shifts while things come and go: its [pagination] has to name the `id`",
        ),
        (
            PAGE,
            "style = \"page\"",
            "style = \"pages\"",
            "unknown value `pages` (did you mean `page`?)",
        ),
    ];
    for (pagination, from, to, expected) in cases {
        assert!(pagination.contains(from), "{from}");
        let text = table(&pagination.replacen(from, to, 1));
        let told = Connector::parse("connectors/toy.toml", &text)
            .unwrap_err()
            .into_iter()
            .map(|finding| {
                let help = finding.help.map_or(String::new(), |help| format!(" ({help})"));
                assert!(finding.span.is_some(), "{}", finding.message);
                format!("{}{help}", finding.message)
            });
        let told: Vec<String> = told.collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{to}: {told:#?}");
    }
    let get = table(OFFSET).replacen("method = \"POST\"", "method = \"GET\"", 1);
    let told = Connector::parse("connectors/toy.toml", &get).unwrap_err();
    let expected = "[pagination.paged] asks for pages in the body, which GET has none of";
    assert!(told.iter().any(|finding| finding.message == expected), "{told:#?}");
}
