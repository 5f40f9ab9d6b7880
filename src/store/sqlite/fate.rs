//! What became of events: read when somebody asks, from what the router left.

use super::read_failed;
use super::reader::Reader;
use super::rows::{Columns, corrupt, event_columns, event_of};
use crate::base::ids::{EventId, RunId};
use crate::model::event::Event;
use crate::model::fate::{Declined, Fate, RunOf};
use crate::model::run::{Cause, EventMark};
use crate::model::unmade::Unmade;
use crate::store::codec::{instant, text_of};
use crate::store::{EventQuery, StoreError};

impl Reader {
    pub(super) async fn fates(&self, events: Vec<EventId>) -> Result<Vec<Fate>, StoreError> {
        let ids: Vec<String> = events
            .iter()
            .map(|event| event.as_uuid().simple().to_string())
            .collect();
        let rows = sqlx::query(
            "SELECT event.id, event.mark, event.mark <= (SELECT mark FROM router), \
                    (SELECT filtered.declined FROM filtered WHERE filtered.event = event.mark), \
                    (SELECT json_group_array(behind.workflow) FROM behind, router \
                     WHERE behind.mark < event.mark AND event.mark <= router.mark) \
             FROM json_each($1) AS asked CROSS JOIN event WHERE event.id = unhex(asked.value) ORDER BY asked.key",
        )
        .bind(text_of(&ids))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        let mut fates = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row, "an event's fate".to_owned());
            fates.push(Fate {
                event: EventId::from_uuid(columns.uuid()?),
                mark: EventMark(columns.get()?),
                routed: columns.get()?,
                declined: columns.optional_json::<Vec<Declined>>()?.unwrap_or_default(),
                behind: columns.json()?,
                runs: Vec::new(),
                unmade: Vec::new(),
                woke: Vec::new(),
            });
        }
        self.add_runs(&mut fates).await?;
        self.add_replays(&mut fates).await?;
        self.add_unmade(&mut fates).await?;
        self.add_woken(&mut fates).await?;
        Ok(fates)
    }

    async fn add_runs(&self, fates: &mut [Fate]) -> Result<(), StoreError> {
        let marks: Vec<i64> = fates.iter().map(|fate| fate.mark.0).collect();
        let rows = sqlx::query(
            "SELECT run.event, run.id, run.workflow, run.state, run.cause FROM json_each($1) AS asked CROSS JOIN run \
             WHERE run.event IS NOT NULL AND run.event = asked.value ORDER BY run.created_at, run.id",
        )
        .bind(text_of(&marks))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        for row in &rows {
            let mut columns = Columns::of(row, "a run of an event".to_owned());
            let mark = EventMark(columns.get()?);
            let run = RunOf {
                id: RunId::from_uuid(columns.uuid()?),
                workflow: columns.get()?,
                state: columns.parse()?,
                again: columns.optional_json()?,
            };
            let of_event = fates.iter_mut().filter(|fate| fate.mark == mark);
            of_event.for_each(|fate| fate.runs.push(run.clone()));
        }
        Ok(())
    }

    /// Runs made once more stand beside one that the event itself made, under a key that names the event.
    async fn add_replays(&self, fates: &mut [Fate]) -> Result<(), StoreError> {
        let beside: Vec<(String, &str)> = fates
            .iter()
            .flat_map(|fate| {
                fate.runs
                    .iter()
                    .map(|run| (format!("replay {} ", fate.event), run.workflow.as_str()))
            })
            .collect();
        if beside.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT run.cause, run.id, run.workflow, run.state FROM json_each($1) AS asked CROSS JOIN run INDEXED BY run_by_cause \
             WHERE run.workflow = asked.value ->> 1 AND run.cause_key >= asked.value ->> 0 \
               AND run.cause_key < (asked.value ->> 0) || ':' ORDER BY run.created_at, run.id",
        )
        .bind(text_of(&beside))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        for row in &rows {
            let mut columns = Columns::of(row, "a run that an event made again".to_owned());
            let cause: Cause = columns.json()?;
            let Cause::Replay { event, .. } = cause else {
                return Err(corrupt("a run that an event made again", "its cause is another"));
            };
            let run = RunOf {
                id: RunId::from_uuid(columns.uuid()?),
                workflow: columns.get()?,
                state: columns.parse()?,
                again: Some(cause),
            };
            let of_event = fates.iter_mut().filter(|fate| fate.event == event);
            of_event.for_each(|fate| fate.runs.push(run.clone()));
        }
        Ok(())
    }

    async fn add_unmade(&self, fates: &mut [Fate]) -> Result<(), StoreError> {
        let keys: Vec<Option<String>> = fates
            .iter()
            .map(|fate| Cause::Webhook { event: fate.event }.unique_key())
            .collect();
        let rows = sqlx::query(
            "SELECT unmade.workflow, unmade.cause, unmade.slots, unmade.reason, unmade.detail, unmade.at \
             FROM json_each($1) AS asked CROSS JOIN unmade WHERE unmade.cause_key = asked.value",
        )
        .bind(text_of(&keys))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        for row in &rows {
            let mut columns = Columns::of(row, "a run that an event did not make".to_owned());
            let unmade = Unmade {
                workflow: columns.get()?,
                cause: columns.json()?,
                last_slot: None,
                slots: columns.get()?,
                reason: columns.parse()?,
                detail: columns.get()?,
                at: instant(columns.get()?),
            };
            let Cause::Webhook { event } = unmade.cause else {
                return Err(corrupt("a run that an event did not make", "its cause is another"));
            };
            let of_event = fates.iter_mut().filter(|fate| fate.event == event);
            of_event.for_each(|fate| fate.unmade.push(unmade.clone()));
        }
        Ok(())
    }

    async fn add_woken(&self, fates: &mut [Fate]) -> Result<(), StoreError> {
        let marks: Vec<i64> = fates.iter().map(|fate| fate.mark.0).collect();
        let rows = sqlx::query(
            "SELECT woken.event, run.id, run.workflow, run.state FROM json_each($1) AS asked CROSS JOIN woken CROSS JOIN run \
             WHERE woken.event = asked.value AND run.id = woken.run ORDER BY run.id",
        )
        .bind(text_of(&marks))
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        for row in &rows {
            let mut columns = Columns::of(row, "a run that an event woke".to_owned());
            let mark = EventMark(columns.get()?);
            let run = RunOf {
                id: RunId::from_uuid(columns.uuid()?),
                workflow: columns.get()?,
                state: columns.parse()?,
                again: None,
            };
            let of_event = fates.iter_mut().filter(|fate| fate.mark == mark);
            of_event.for_each(|fate| fate.woke.push(run.clone()));
        }
        Ok(())
    }

    /// Events that some workflow looked at and none took, newest first.
    pub(super) async fn filtered_events(&self, query: EventQuery) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM filtered CROSS JOIN event ON event.mark = filtered.event \
              WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.event IS NOT NULL AND run.event = filtered.event) \
              AND ($1 IS NULL OR connection = $1) AND ($2 IS NULL OR kind = $2) \
              AND ($3 IS NULL OR filtered.event < (SELECT mark FROM event WHERE id = $3)) \
              ORDER BY filtered.event DESC LIMIT $4"
        ))
        .bind(query.connection)
        .bind(query.kind)
        .bind(query.before.map(|event| event.as_uuid().as_bytes().to_vec()))
        .bind(query.limit)
        .fetch_all(self.pool())
        .await
        .map_err(read_failed)?;
        rows.iter().map(event_of).collect()
    }
}
