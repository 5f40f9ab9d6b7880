//! The catalog: every fault has its finding with its place, and no fault stops what is sound.

mod findings;
mod watching;

use std::collections::BTreeMap;
use std::path::Path;

use bursar::catalog::files::Folders;
use bursar::catalog::load::Context;
use bursar::catalog::manifest::{ConnectionFacts, Misfit, Remark};
use bursar::model::calendar::Business;
use bursar::script::{ModuleSurface, Place, Signature, Surface};

/// A bank that sends events and a hub that sends none; schedules have five fields, zones a slash.
fn context() -> Context {
    let facts = |connector: &str, events: &[&str]| ConnectionFacts {
        connector: connector.to_owned(),
        events: Some(events.iter().map(|event| (*event).to_owned()).collect()),
        made_of: BTreeMap::new(),
    };
    Context {
        connections: BTreeMap::from([
            (
                "bank".to_owned(),
                facts(
                    "augustus",
                    &["deposit.received", "deposit.returned", "payout.completed"],
                ),
            ),
            ("hub".to_owned(), facts("payaut", &[])),
        ]),
        check_schedule: Box::new(|spec| {
            let fields = spec.schedule.split_whitespace().count();
            if fields != 5 {
                let message = format!("the schedule has {fields} fields, not five");
                return Err(Misfit {
                    key: "schedule",
                    message,
                });
            }
            if !spec.timezone.contains('/') {
                let message = format!("`{}` is not an IANA zone", spec.timezone);
                return Err(Misfit {
                    key: "timezone",
                    message,
                });
            }
            let ends = spec
                .business
                .as_ref()
                .filter(|business| business.calendar.files().next().is_some());
            let remark = |business: &Business| Remark {
                code: "calendar-ends",
                key: "calendar",
                message: format!("calendar `{}` ends", business.calendar.name()),
                help: "bring its file up to date".to_owned(),
            };
            Ok(ends.map(remark).into_iter().collect())
        }),
        surface_of: Box::new(surface_of),
    }
}

/// A bank that can do everything here, a hub that cannot convert.
fn surface_of(uses: &[String]) -> Surface {
    let signature = |name: &str, arity| Signature {
        name: name.to_owned(),
        arity,
        pure: false,
        arguments: Vec::new(),
        takes: Vec::new(),
        makes: None,
        takes_function: false,
        keys: Vec::new(),
        apart: Vec::new(),
        lacking: Vec::new(),
        calendar: (name == "is_business_day").then_some(Place::Argument(1)),
    };
    let module = |connector: &str, names: &[&str]| ModuleSurface {
        connector: connector.to_owned(),
        functions: names.iter().map(|name| signature(name, 1..=1)).collect(),
        known: vec!["sweep".to_owned(), "convert".to_owned(), "balance".to_owned()],
        ..ModuleSurface::default()
    };
    let modules = [
        ("bank", module("augustus", &["sweep", "convert", "balance"])),
        ("hub", module("payaut", &["balance"])),
    ];
    let unknown = uses.iter().filter(|used| modules.iter().all(|(name, _)| name != used));
    Surface {
        functions: vec![signature("sleep", 1..=1), signature("is_business_day", 2..=2)],
        modules: modules
            .iter()
            .filter(|(name, _)| uses.iter().any(|used| used == name))
            .map(|(name, module)| ((*name).to_owned(), module.clone()))
            .collect(),
        unknown_modules: unknown.cloned().collect(),
        params: None,
        calendars: None,
    }
}

fn folders(root: &Path) -> Folders {
    Folders {
        workflows: root.join("workflows"),
        scripts: root.join("scripts"),
        calendars: root.join("calendars"),
    }
}
