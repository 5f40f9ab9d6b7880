//! A folder of everything a person can get wrong, and what is said about each.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bursar::base::limits::MANIFEST_BYTES_MAX;
use bursar::catalog::files::Folders;
use bursar::catalog::load::{Loaded, load};
use bursar::model::calendar::DayChoice;
use bursar::model::concurrency::Overlap;
use bursar::model::diagnostic::{Diagnostic, Severity};
use bursar::model::event::Condition;
use bursar::model::workflow::{CatchUp, CronSpec, Trigger};

use super::{context, folders};

fn broken() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/catalog/broken")
}

/// `file:line:column severity[code] message`, and the help below it.
fn told(loaded: &Loaded) -> String {
    let mut text = String::new();
    for finding in &loaded.diagnostics {
        let place = finding.span.map_or_else(String::new, |span| {
            format!(":{}:{}+{}", span.line, span.column, span.length)
        });
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(
            text,
            "{}{place} {severity}[{}] {}",
            finding.file, finding.code, finding.message
        )
        .expect("text");
        for (mark, line) in [("^", &finding.label), ("=", &finding.help)] {
            if let Some(line) = line {
                writeln!(text, "    {mark} {line}").expect("text");
            }
        }
    }
    text
}

#[test]
fn every_fault_is_told_with_its_place() {
    let loaded = load(&folders(&broken()), &context());
    insta::assert_snapshot!(told(&loaded));
}

#[test]
fn the_broken_ones_do_not_stop_the_good_ones() {
    let loaded = load(&folders(&broken()), &context());
    let names: Vec<&str> = loaded.workflows.keys().map(String::as_str).collect();
    assert_eq!(names, ["good-calendar", "good-cron", "good-manual"]);
    let manifests = fs::read_dir(broken().join("workflows")).expect("the manifests");
    let manifests = manifests.filter(|file| {
        let path = file.as_ref().expect("a file").path();
        path.extension().is_some_and(|ending| ending == "toml")
    });
    assert_eq!(loaded.broken.len() + names.len(), manifests.count());
    // Nothing is broken without a reason told, and told with a file.
    for name in &loaded.broken {
        assert!(
            loaded.diagnostics.iter().any(Diagnostic::is_error),
            "{name} is broken and nobody says why"
        );
    }
}

#[test]
fn a_good_manifest_says_exactly_this() {
    let loaded = load(&folders(&broken()), &context());
    let workflow = &loaded.workflows["good-cron"];
    assert_eq!(workflow.uses, ["bank"]);
    assert_eq!(
        workflow.params.to_string(),
        r#"{"buffer":"1000.00","mask":255,"nested":{"empty":{},"list":["a",1,true]},"retries":3}"#
    );
    let [
        Trigger::Cron(CronSpec {
            schedule,
            timezone,
            catch_up,
            catch_up_hours: 24,
            overlap: Overlap::Skip,
            business: None,
            jitter: None,
            pause_after_failures: 3,
        }),
        Trigger::Webhook {
            connection,
            events,
            when,
        },
    ] = workflow.triggers.as_slice()
    else {
        panic!("{:?}", workflow.triggers);
    };
    assert_eq!(
        (schedule.as_str(), timezone.as_str(), *catch_up),
        ("0 18 * * Mon-Fri", "Europe/Berlin", CatchUp::None)
    );
    assert_eq!((connection.as_str(), events.len()), ("bank", 2));
    let Condition::Matching(when) = when else {
        panic!("{when:?}");
    };
    let conditions: Vec<String> = when
        .0
        .iter()
        .map(|(pointer, value)| format!("{pointer} {value}"))
        .collect();
    assert_eq!(
        conditions,
        ["/payload/attempt 1", "/payload/currency \"EUR\"", "/payload/test false"]
    );
    assert_eq!(workflow.version.main().expect("a script").path, "good.rhai");
    assert_eq!(loaded.workflows["good-manual"].params.to_string(), "{}");
}

#[test]
fn the_same_files_make_the_same_version_and_others_another() {
    let first = load(&folders(&broken()), &context());
    let again = load(&folders(&broken()), &context());
    let digest = |loaded: &Loaded, name: &str| loaded.workflows[name].version.digest;
    assert_eq!(digest(&first, "good-cron"), digest(&again, "good-cron"));
    assert_ne!(digest(&first, "good-cron"), digest(&first, "good-manual"));
}

#[test]
fn a_version_is_pinned_to_the_calendars_it_names_and_to_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let folders = folders(folder.path());
    for place in [&folders.workflows, &folders.scripts, &folders.calendars] {
        fs::create_dir(place).expect("a folder");
    }
    let calendar = |name: &str, until: u32| {
        let text =
            format!("name = \"{name}\"\ncoverage_from = 2026-01-01\ncoverage_until = {until}-12-31\nholidays = []\n");
        fs::write(folders.calendars.join(format!("{name}.toml")), text).expect("written");
    };
    for name in ["spare", "vault", "scripted"] {
        calendar(name, 2027);
    }
    let script = "is_business_day(\"2026-11-20\", \"scripted+TARGET2\")";
    fs::write(folders.scripts.join("work.rhai"), script).expect("written");
    let trigger = "[[trigger]]\ntype = \"cron\"\nschedule = \"0 9 * * *\"\ntimezone = \"Europe/Berlin\"\n\
        calendar = \"TARGET2+vault\"\nbusiness_day = [1, -1]\ncut_off = \"15:30\"\nafter_cut_off = \"refuse\"\n";
    let manifest = format!("name = \"work\"\nsummary = \"Works.\"\nscript = \"work.rhai\"\n{trigger}");
    fs::write(folders.workflows.join("work.toml"), manifest).expect("written");
    let load = || load(&folders, &context());
    let first = load();
    let workflow = &first.workflows["work"];
    let paths: Vec<&str> = workflow
        .version
        .sources
        .iter()
        .map(|source| source.path.as_str())
        .collect();
    assert_eq!(paths, ["work.rhai", "calendars/scripted.toml", "calendars/vault.toml"]);
    let [
        Trigger::Cron(CronSpec {
            business: Some(business),
            ..
        }),
    ] = workflow.triggers.as_slice()
    else {
        panic!("{:?}", workflow.triggers);
    };
    assert_eq!(
        (business.calendar.name(), &business.days),
        ("TARGET2+vault", &DayChoice::OfMonth(vec![1, -1]))
    );
    let pinned = |name: &str| {
        workflow
            .version
            .calendar(name)
            .map(|calendar| calendar.coverage().1.to_string())
    };
    assert_eq!(pinned("scripted"), Ok("2027-12-31".to_owned()));
    assert_eq!(pinned("TARGET2+vault"), Ok("2027-12-31".to_owned()));
    assert!(pinned("spare").is_err());

    calendar("spare", 2028);
    assert_eq!(load().workflows["work"].version.digest, workflow.version.digest);
    calendar("scripted", 2028);
    let later = load();
    assert_ne!(later.workflows["work"].version.digest, workflow.version.digest);
    // What a run has begun with stays what it was.
    assert_eq!(pinned("scripted"), Ok("2027-12-31".to_owned()));
}

#[test]
fn files_that_cannot_be_read_are_findings() {
    let folder = tempfile::tempdir().expect("a folder");
    let folders = folders(folder.path());
    fs::create_dir(&folders.workflows).expect("a folder");
    fs::write(folders.workflows.join("long.toml"), vec![b'#'; MANIFEST_BYTES_MAX + 1]).expect("written");
    fs::write(folders.workflows.join(".hidden.toml"), "nonsense").expect("written");
    fs::create_dir(folders.workflows.join("folder.toml")).expect("a folder");
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", folders.workflows.join("dangling.toml")).expect("a link");
    let text = told(&load(&folders, &context())).replace(&folder.path().display().to_string(), "<folder>");
    insta::assert_snapshot!(text, @r"
    scripts error[file] the folder cannot be read: no such file or directory
        = looked for <folder>/scripts
    workflows/dangling.toml error[file] cannot be read: no such file or directory
    workflows/long.toml error[file] is longer than 262144 bytes
    ");
}

#[test]
fn a_missing_folder_is_told_and_everything_is_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let folders: Folders = folders(folder.path());
    let loaded = load(&folders, &context());
    assert!(loaded.all_unknown);
    let text = told(&loaded).replace(&folder.path().display().to_string(), "<folder>");
    insta::assert_snapshot!(text, @r"
    scripts error[file] the folder cannot be read: no such file or directory
        = looked for <folder>/scripts
    workflows error[file] the folder cannot be read: no such file or directory
        = looked for <folder>/workflows
    ");
}
