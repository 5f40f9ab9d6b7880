//! A table of resources: found by id, listed by age. It knows nothing of what it holds.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::base::clock::Instant;

/// One resource and what a list needs to know of it.
#[derive(Debug)]
pub(crate) struct Row<T> {
    /// Creation order; breaks ties between equal times.
    pub(crate) number: u64,
    pub(crate) created_at: Instant,
    /// Lists do not show it before this (elapsed time).
    pub(crate) listed_from: Duration,
    pub(crate) item: T,
}

/// Resources of one kind, in creation order.
#[derive(Debug)]
pub(crate) struct Table<T> {
    rows: Vec<Row<T>>,
    index: HashMap<Uuid, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, id: Uuid, created_at: Instant, listed_from: Duration, item: T) {
        let number = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        self.index.insert(id, self.rows.len());
        self.rows.push(Row {
            number,
            created_at,
            listed_from,
            item,
        });
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&T> {
        self.index
            .get(&id)
            .and_then(|place| self.rows.get(*place))
            .map(|row| &row.item)
    }

    pub(crate) fn get_mut(&mut self, id: Uuid) -> Option<&mut T> {
        let place = self.index.get(&id)?;
        self.rows.get_mut(*place).map(|row| &mut row.item)
    }

    pub(crate) fn rows(&self) -> &[Row<T>] {
        &self.rows
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|row| &row.item)
    }
}
