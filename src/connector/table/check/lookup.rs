//! How the outcome of an endpoint is looked up.

use std::collections::BTreeMap;

use super::endpoint::Check;
use super::{known_param, unknown_endpoint};
use crate::connector::lookup::{Condition, Lookup, Match, Several, Template};
use crate::connector::table::{Effect, Endpoint, Kind, OurReference, Param, Place, ReferenceForm};

/// Statuses by which a provider can say that something is not there.
const NOT_THERE: &[u16] = &[404, 410];

impl<'a> Check<'a, '_, '_> {
    pub(super) fn lookup(&mut self, lookup: &'a Lookup) {
        let path = ["endpoint", self.endpoint.name.as_str(), "lookup", "endpoint"];
        let Some(list) = self.connector.endpoint(&lookup.endpoint) else {
            unknown_endpoint(self.connector, &path, &lookup.endpoint, self.source);
            return;
        };
        for (param, template) in &lookup.query {
            let path = [
                "endpoint",
                self.endpoint.name.as_str(),
                "lookup",
                "query",
                param.as_str(),
            ];
            known_param(list, &path, param, self.source);
            if matches!(template, Template::Sent(_) | Template::Before(_)) {
                self.said(&["lookup", "query", param], template, true);
            }
        }
        self.read_through(lookup, list);
        self.asks_alike("lookup", &lookup.query, list);
        self.pointer(&["lookup", "created_at"], lookup.created_at.as_ref());
        self.conditions("when", &lookup.when);
        self.matching(lookup, list);
    }

    /// Where it looks: a list, a list inside of one thing, or the thing.
    fn read_through(&mut self, lookup: &Lookup, list: &Endpoint) {
        let by_itself = matches!(
            lookup.matching,
            Match::State { .. } | Match::Content(_) | Match::Gone(_)
        );
        let name = &list.name;
        if list.effect != Effect::Read {
            self.wrong(&["lookup", "endpoint"], format!("`{name}` is not a read"));
        }
        if list.paging.is_none() && lookup.items.is_none() && !by_itself {
            let message = format!("`{name}` is not a read that lists: `items` has to say where the list stands");
            self.wrong(&["lookup", "endpoint"], message);
        }
        if list.paging.is_some() && lookup.items.is_some() {
            self.wrong(&["lookup", "items"], format!("`{name}` lists: its items are known"));
        }
        self.pointer(
            &["lookup", "items"],
            lookup.items.as_ref().filter(|items| !items.is_empty()),
        );
        if lookup.absent_is_empty && lookup.items.as_ref().is_none_or(String::is_empty) {
            self.wrong(
                &["lookup", "absent_is_empty"],
                "only a list inside of one thing can be left out",
            );
        }
        if !lookup.missing.is_empty() && (lookup.items.is_none() || by_itself) {
            let message = "only where something is looked for inside of one thing can that thing be missing";
            self.wrong(&["lookup", "missing"], message);
        }
        self.not_there("missing", &lookup.missing);
        if lookup.several == Several::Contradiction && by_itself {
            self.wrong(&["lookup", "several"], "what is read is one thing");
        }
        if lookup.margin_secs.is_none() && list.paging.is_some() && !by_itself {
            self.wrong(
                &["lookup"],
                "`margin_secs` is missing: by how much two clocks may differ",
            );
        }
        let is_dated = matches!(&lookup.matching, Match::Natural { dead: Some(_), .. }) || lookup.newest_first;
        if is_dated && lookup.created_at.is_none() {
            let message = "`created_at` is missing: what is older than the search is told from ours by it";
            self.wrong(&["lookup"], message);
        }
        let counted = list.paging.as_ref().and_then(|paging| paging.counted());
        if counted.is_some_and(|counted| counted.id.is_none()) {
            let message = format!(
                "`{name}` shifts while things come and go: its [pagination] has to name the `id` by which an item is known again"
            );
            self.wrong(&["lookup", "endpoint"], message);
        }
    }

    fn not_there(&mut self, key: &str, statuses: &[u16]) {
        if let Some(other) = statuses.iter().find(|status| !NOT_THERE.contains(status)) {
            let message = format!("{other} does not say that something is not there: 404 and 410 can");
            self.wrong(&["lookup", key], message);
        }
    }

    /// How ours is told.
    fn matching(&mut self, lookup: &'a Lookup, list: &Endpoint) {
        let moves_money = self.endpoint.effect == Effect::MovesMoney;
        let path = ["lookup", "match"];
        match &lookup.matching {
            Match::Reference(at) => self.by_reference(at, ReferenceForm::Plain),
            Match::ReferenceAtEnd(at) => self.by_reference(at, ReferenceForm::End),
            Match::Natural { field, pointer, .. } => {
                self.pointer(&path, Some(pointer));
                self.need_sent(&path, field);
            }
            Match::Fresh { same, .. } => {
                // None at all is told where it is read before.
                if !same.is_empty() {
                    self.says_something("same", same);
                }
                self.conditions("match", same);
            }
            Match::State { done, open } => {
                self.says_something("done", done);
                if !open.is_empty() {
                    self.says_something("open", open);
                }
                self.conditions("match", done);
                self.conditions("match", open);
                if list.paging.is_some() && lookup.when.is_empty() {
                    let message = format!("`{}` lists: `when` has to say which item is meant", list.name);
                    self.wrong(&["lookup"], message);
                }
            }
            Match::Content(is_so) => {
                if !is_so || self.endpoint.params_in(Place::Body).next().is_none() {
                    self.wrong(&path, "it sends nothing that could be seen again");
                }
                if self.endpoint.key.field().is_some() {
                    self.wrong(&path, "the key in its body is shown nowhere");
                }
                if moves_money {
                    self.wrong(
                        &path,
                        "that something looks as if it were done does not say that we moved money",
                    );
                }
            }
            Match::Gone(statuses) => {
                self.not_there("match", statuses);
                if statuses.is_empty() || moves_money {
                    self.wrong(&path, "only what is taken away can be gone, and a status has to say so");
                }
            }
        }
        let one_thing = matches!(lookup.matching, Match::Content(_) | Match::Gone(_));
        if one_thing && (list.paging.is_some() || lookup.items.is_some() || !lookup.when.is_empty()) {
            self.wrong(
                &["lookup", "endpoint"],
                format!("`{}` has to show the one thing", list.name),
            );
        }
        if self.endpoint.look_first {
            self.ahead(lookup);
        }
    }

    /// What is looked for before it is sent may be another's, made whenever.
    fn ahead(&mut self, lookup: &Lookup) {
        if !matches!(lookup.matching, Match::Natural { .. }) {
            let message = "before it is sent nothing bears our mark: only what there can be one of is found then";
            self.wrong(&["look_first"], message);
        }
        let message = "before it is sent no time bounds the look: what another did long ago would not be found";
        for (param, template) in &lookup.query {
            if matches!(template, Template::WindowStart | Template::WindowEnd) {
                self.wrong(&["lookup", "query", param], message);
            }
        }
        if lookup.newest_first {
            self.wrong(&["lookup", "newest_first"], message);
        }
    }

    fn by_reference(&mut self, at: &'a String, wanted: ReferenceForm) {
        let path = ["lookup", "match"];
        self.pointer(&path, Some(at));
        match &self.endpoint.our_reference {
            None => self.wrong(&path, "it is never sent our reference: there is no `our_reference`"),
            Some(OurReference { form, .. }) if *form != wanted => {
                let message = match wanted {
                    ReferenceForm::Plain => "our reference stands at the end there: write reference_at_end",
                    ReferenceForm::End => {
                        "our reference stands alone there: write our_reference = { field, form = \"end\" }"
                    }
                };
                self.wrong(&path, message);
            }
            Some(_) => {}
        }
    }

    /// What nothing has to stand for would be anything: a condition by what was sent is none where nothing was.
    fn says_something(&mut self, what: &str, conditions: &[Condition]) {
        if conditions.iter().all(|condition| condition.shows.is_some()) {
            let message = format!("`{what}` says nothing that always has to stand there, which anything would be");
            self.wrong(&["lookup", "match"], message);
        }
    }

    fn conditions(&mut self, key: &str, conditions: &'a [Condition]) {
        for condition in conditions {
            self.pointer(&["lookup", key], Some(&condition.at).filter(|at| !at.is_empty()));
            let said = [
                !condition.is.is_empty(),
                !condition.is_sum.is_empty(),
                condition.shows.is_some(),
            ];
            if said.iter().filter(|said| **said).count() != 1 {
                let message = format!(
                    "`{}` is nothing: `is`, `is_sum` or `shows` has to say what may stand there, one of them",
                    condition.at
                );
                self.wrong(&["lookup", key], message);
            }
            if let Some(field) = &condition.shows {
                self.need_sent(&["lookup", key], field);
            }
            for template in condition.templates() {
                match template {
                    Template::WindowStart | Template::WindowEnd => {
                        self.wrong(&["lookup", key], "a time of the search is nothing that an item shows");
                    }
                    Template::Reference => {}
                    template => self.said(&["lookup", key], template, true),
                }
            }
        }
    }

    /// A header may say for whom a call is made: the same list, asked for somebody else, would prove an absence that is
    /// none.
    pub(super) fn asks_alike(&mut self, section: &str, query: &BTreeMap<String, Template>, list: &Endpoint) {
        for param in self.endpoint.params_in(Place::Header) {
            let same = |theirs: &&Param| theirs.wire_name().eq_ignore_ascii_case(param.wire_name());
            let Some(theirs) = list.params_in(Place::Header).find(same) else {
                continue;
            };
            let sent = Template::Sent(vec![param.name.clone()]);
            if query.get(&theirs.name) != Some(&sent) {
                let (list, ours, theirs) = (&list.name, &param.name, &theirs.name);
                let message = format!("`{list}` has to be asked under the same header as the call it looks for");
                let path = ["endpoint", self.endpoint.name.as_str(), section, "query"];
                self.source.wrong(&path, message).help =
                    Some(format!("write {theirs} = \"{{sent.{ours}}}\" in its `query`"));
            }
        }
    }

    /// What a look-up reads out of a request that was sent has to be a parameter of it, or a member of one.
    pub(super) fn need_sent(&mut self, keys: &[&str], field: &str) {
        let (name, member) = field
            .split_once('.')
            .map_or((field, None), |(name, member)| (name, Some(member)));
        if let Some(param) = self.need_param(keys, name)
            && member.is_some()
            && !matches!(param.kind, Kind::TextMap | Kind::Object)
        {
            self.wrong(
                keys,
                format!("`{name}` takes {}, which has no members", param.kind.describe()),
            );
        }
    }
}
