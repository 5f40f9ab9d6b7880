//! Statements that write many rows at once: one text for each number of rows, made once.
//!
//! The texts are static but for how often a row of placeholders is repeated, so the connection keeps them
//! compiled. Must not contain anything but placeholders. They are `?`, taken in order: a numbered one is looked
//! up by its name among all others, each time.

use std::sync::OnceLock;

/// Rows one statement writes at most. More are written by several.
pub(super) const ROWS_MAX: usize = 64;

/// A statement with a list of rows in it.
pub(super) struct ManyRows {
    before: &'static str,
    row: &'static str,
    after: &'static str,
    texts: [OnceLock<String>; ROWS_MAX],
}

impl ManyRows {
    /// A statement that reads `before row, row, … after`.
    pub(super) const fn new(before: &'static str, row: &'static str, after: &'static str) -> Self {
        Self {
            before,
            row,
            after,
            texts: [const { OnceLock::new() }; ROWS_MAX],
        }
    }

    /// Its text for so many rows, from one to [`ROWS_MAX`].
    pub(super) fn text(&'static self, rows: usize) -> &'static str {
        let place = rows.clamp(1, ROWS_MAX) - 1;
        self.texts[place].get_or_init(|| {
            let rows = vec![self.row; place + 1].join(",");
            [self.before, &rows, self.after].concat()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_repeated_as_often_as_asked() {
        static INSERT: ManyRows = ManyRows::new("INSERT INTO t VALUES ", "(?,?)", " ON CONFLICT DO NOTHING");
        assert_eq!(INSERT.text(1), "INSERT INTO t VALUES (?,?) ON CONFLICT DO NOTHING");
        assert_eq!(
            INSERT.text(2),
            "INSERT INTO t VALUES (?,?),(?,?) ON CONFLICT DO NOTHING"
        );
        assert_eq!(INSERT.text(ROWS_MAX).matches("(?,?)").count(), ROWS_MAX);
    }
}
